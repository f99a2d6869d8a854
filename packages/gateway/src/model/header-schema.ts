import { z } from 'zod';
import { wrongWithHeaderName, wrongWithHeaderValue } from './header-guard.ts';

/** The name of a header that a file has written into messages, or taken out of them. */
export const headerNames = {
  /** Of requests: nothing that says who a caller is. */
  request: nameSchema((name) => wrongWithHeaderName(name)),
  /** Where the host is one of what is set, and means the request's own. */
  requestOrHost: nameSchema((name) => (isHost(name) ? undefined : wrongWithHeaderName(name))),
  response: nameSchema((name) => wrongWithHeaderName(name, 'may name a caller')),
  /** To take away what says who a caller is harms nobody. */
  removed: nameSchema((name) => wrongWithHeaderName(name, 'may name a caller')),
} as const;

export function isHost(name: string): boolean {
  return /^(?:host|:authority)$/i.test(name);
}

export const headerText = z.string().superRefine((text, context) => {
  const wrong = wrongWithHeaderValue(text);
  if (wrong !== undefined) context.addIssue({ code: 'custom', message: `the value ${wrong}` });
});

/** What a request is for, as a route has it told. */
export const hostText = z
  .string()
  .regex(/^[A-Za-z0-9._:[\]-]{1,255}$/, 'expected a host, with its port where it has one');

/** The same where `%` begins what Envoy puts in, and a percent sign by itself is written twice. */
export const headerFormat = headerText
  .superRefine((text, context) => {
    const [, variable] = /(%[^%]*%?)/.exec(text.replaceAll('%%', '')) ?? [];
    if (variable === undefined) return;
    const message = `the variable "${variable.slice(0, 80)}" is not done by this gateway`;
    context.addIssue({ code: 'custom', message });
  })
  .transform((text) => text.replaceAll('%%', '%'));

function nameSchema(wrongWith: (name: string) => string | undefined) {
  return z.string().superRefine((name, context) => {
    const wrong = wrongWith(name);
    if (wrong !== undefined)
      context.addIssue({ code: 'custom', message: `${JSON.stringify(name)} ${wrong}` });
  });
}
