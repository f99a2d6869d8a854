/** A DNS name in its one spelling here (lowercase, no dot at the end), or what is wrong as the end of a sentence. */
export type DnsNameResult =
  | { readonly ok: true; readonly name: string }
  | { readonly ok: false; readonly wrong: string };

/**
 * Reads a host name: letters, digits and hyphens in labels of 1–63, at most 253 characters in all. No wildcard: a
 * service has a name of its own.
 */
export function parseDnsName(text: string): DnsNameResult {
  const name = text.toLowerCase();
  const wrong = wrongWithDnsName(name);
  return wrong === undefined ? { ok: true, name } : { ok: false, wrong };
}

/** Names that a pattern of `allowed_dns_patterns` stands for. */
export interface DnsPattern {
  readonly written: string;
  /** From the left. `*` is exactly one label; `**`, as the first only, one or more. */
  readonly labels: readonly string[];
}

/**
 * Reads `*.prod.internal` (`*`: one label, as in TLS), `**.prod.internal` (`**`: one or more labels) or a plain name.
 * A lone `*` admits every name.
 */
export function parseDnsPattern(
  text: string,
): { readonly ok: true; readonly pattern: DnsPattern } | { readonly ok: false; wrong: string } {
  const lower = text.toLowerCase();
  const labels = lower === '*' ? ['**'] : lower.split('.');
  const wrong = wrongWithPattern(lower, labels);
  return wrong === undefined
    ? { ok: true, pattern: { written: text, labels } }
    : { ok: false, wrong };
}

export function matchesDnsPattern(pattern: DnsPattern, name: string): boolean {
  const labels = name.split('.');
  if (pattern.labels[0] !== '**') return sameLabels(pattern.labels, labels);
  const rest = pattern.labels.slice(1);
  return labels.length > rest.length && sameLabels(rest, labels.slice(labels.length - rest.length));
}

/** Domains in the meaning of RFC 5280 §4.2.1.10: each stands for itself and everything below it. */
export interface DnsConstraints {
  /** Empty: everything. */
  readonly permitted: readonly string[];
  readonly excluded: readonly string[];
}

/** Reads an entry of `nameConstraints`; a leading dot is what the field writes, and encoded without. */
export function parseDnsConstraint(text: string): DnsNameResult {
  if (text.includes('*')) {
    return { ok: false, wrong: 'has "*", a constraint covers everything below its name anyway' };
  }
  return parseDnsName(text.startsWith('.') ? text.slice(1) : text);
}

/** Whether the constraints leave any name that the pattern stands for. */
export function constraintsLeave(constraints: DnsConstraints, pattern: DnsPattern): boolean {
  if (constraints.excluded.some((domain) => patternWithin(pattern, domain))) return false;
  if (constraints.permitted.length === 0) return true;
  return constraints.permitted.some((domain) => patternMeets(pattern, domain));
}

// RFC 5280 §4.2.1.10: a name satisfies the constraint when it is made by adding labels to its left.
export function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

export function quotedList(values: readonly string[]): string {
  return values.map((value) => `"${value}"`).join(', ');
}

function wrongWithDnsName(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name.length > 253) return `has ${name.length} characters, at most 253 are allowed`;
  if (name.includes('*')) return 'is a wildcard, which names no single service';
  if (/[^\x20-\x7e]/.test(name)) return 'is not ASCII, write it in its xn-- form';
  if (/^[\d.]+$/.test(name)) return 'is an IP address or number, not a DNS name';
  for (const label of name.split('.')) {
    if (label === '') return 'has an empty label (a dot too many)';
    if (label.length > 63)
      return `has a label of ${label.length} characters, at most 63 are allowed`;
    // RFC 5280 §4.2.1.6: the preferred name syntax of RFC 1034 §3.5, as RFC 1123 §2.1 widened it.
    if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(label)) {
      return `has the label "${label}", a label is letters, digits and inner hyphens`;
    }
  }
  return undefined;
}

function wrongWithPattern(text: string, labels: readonly string[]): string | undefined {
  if (text.startsWith('.'))
    return `begins with a dot, write "*${text}" for one label or "**${text}"`;
  const late = labels.findIndex((label, index) => label === '**' && index > 0);
  if (late !== -1) return 'has "**" after its first label';
  const mixed = labels.find((label) => label.includes('*') && label !== '*' && label !== '**');
  if (mixed !== undefined) return `has "${mixed}", "*" stands for a whole label`;
  const sample = labels.map((label) => (label.includes('*') ? 'x' : label)).join('.');
  return wrongWithDnsName(sample);
}

function sameLabels(pattern: readonly string[], labels: readonly string[]): boolean {
  if (pattern.length !== labels.length) return false;
  return pattern.every((label, index) => label === '*' || label === labels[index]);
}

/** Every name of the pattern is at or below the domain. */
function patternWithin(pattern: DnsPattern, domain: string): boolean {
  const tail = domain.split('.');
  const fixed = pattern.labels.slice(-tail.length);
  return fixed.length === tail.length && fixed.every((label, index) => label === tail[index]);
}

/** Some name of the pattern is at or below the domain. */
function patternMeets(pattern: DnsPattern, domain: string): boolean {
  const open = pattern.labels[0] === '**';
  const right = (open ? pattern.labels.slice(1) : pattern.labels).toReversed();
  const tail = domain.split('.').toReversed();
  if (!open && right.length < tail.length) return false;
  return tail.every((label, index) => {
    const own = right[index];
    return own === undefined || own === '*' || own === label;
  });
}
