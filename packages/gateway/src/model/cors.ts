import type { DirectAnswer } from '../answer-directly.ts';
import type { RequestHead } from '../request-head.ts';
import type { HeaderLine, HeaderOperations } from './header-operations.ts';
import { headerValue } from './request-match.ts';
import { type TextMatch, textTest } from './text-match.ts';

/** Which other origins' pages may read what a route answers; values as they stand in the headers. */
export interface CorsModel {
  readonly origins: readonly TextMatch[];
  readonly methods?: string | undefined;
  readonly headers?: string | undefined;
  readonly exposes?: string | undefined;
  readonly maxAge?: string | undefined;
  readonly credentials?: boolean | undefined;
  /** Preflights of origins that are not among them are answered, with nothing, instead of sent on. */
  readonly keepsUnmatched?: boolean | undefined;
}

export interface CorsAnswer {
  /** Instead of the route's: what a browser asks before it sends a request. */
  readonly preflight: DirectAnswer | undefined;
  /** What is done to the response. */
  readonly operations: readonly HeaderOperations[];
}

export type CorsTest = (head: RequestHead, rawHeaders: readonly string[]) => CorsAnswer | undefined;

/** As Envoy's filter does it, and a `Vary` beside it, so that no cache gives one origin what is another's. */
export function corsTest(model: CorsModel): CorsTest {
  const tests = model.origins.map(textTest);
  return (head, rawHeaders) => {
    const origin = headerValue(rawHeaders, 'origin');
    if (origin === undefined) return undefined;
    const isPreflight =
      head.method === 'OPTIONS' &&
      headerValue(rawHeaders, 'access-control-request-method') !== undefined;
    if (!tests.some((test) => test(origin))) {
      if (!isPreflight || model.keepsUnmatched !== true) return undefined;
      return { preflight: { status: 200, headers: [], body: '' }, operations: [] };
    }
    const shared = [line('Allow-Origin', origin), line('Allow-Credentials', credentialsOf(model))];
    const more = isPreflight
      ? [
          line('Allow-Methods', model.methods),
          line('Allow-Headers', model.headers),
          line('Max-Age', model.maxAge),
        ]
      : [line('Expose-Headers', model.exposes)];
    const set = [...shared, ...more].flat();
    const operations = [{ remove: [], set, add: [['Vary', 'Origin'] as const] }];
    if (!isPreflight) return { preflight: undefined, operations };
    const headers = [...set.flat(), 'Vary', 'Origin'];
    return { preflight: { status: 200, headers, body: '' }, operations: [] };
  };
}

function line(name: string, value: string | undefined): HeaderLine[] {
  return value === undefined || value === '' ? [] : [[`Access-Control-${name}`, value]];
}

function credentialsOf({ credentials }: CorsModel): string | undefined {
  return credentials === true ? 'true' : undefined;
}
