/** `{name}` in a name of ca.yaml, for what a certificate or a token says of its holder. */
const placeholder = /\{([^{}]*)\}/g;

export function placeholdersOf(template: string): string[] {
  return [...template.matchAll(placeholder)].map(([, name = '']) => name);
}

/** A name with something harmless in each place, to check the rest of it. */
export function sampleOf(template: string): string {
  return template.replaceAll(placeholder, 'x');
}

export type FilledName =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly wrong: string };

const forms = {
  /** A whole label, or part of one; more would let it choose where in the tree it stands. */
  dns: /^[A-Za-z0-9-]{1,63}$/,
  /** The whole name. */
  host: /^(?=.{1,253}$)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*$/,
  /** A segment of a SPIFFE ID's path, or part of one. */
  spiffe: /^[A-Za-z0-9_.-]{1,100}$/,
} as const;

/** What others say becomes part of a name only where it can be nothing else. */
export function fillTemplate(
  template: string,
  kind: 'dns' | 'spiffe',
  valueFor: (name: string) => string | undefined,
): FilledName {
  const isWhole = kind === 'dns' && /^\{[^{}]*\}$/.test(template);
  const form = forms[isWhole ? 'host' : kind];
  let wrong: string | undefined;
  const text = template.replaceAll(placeholder, (_, name: string) => {
    const value = valueFor(name);
    if (value !== undefined && form.test(value) && !/^[.-]|[.-]$/.test(value)) return value;
    wrong ??= `${name} is "${(value ?? '').slice(0, 100)}", which cannot stand in "${template}"`;
    return '';
  });
  if (wrong !== undefined) return { ok: false, wrong };
  return { ok: true, text: kind === 'dns' ? text.toLowerCase() : text };
}
