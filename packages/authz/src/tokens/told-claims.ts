import type { TokenRule } from '../policy/request-authentication.ts';
import type { RawHeaders } from '../request/header-lines.ts';
import { claimAt } from '../rules/claim-match.ts';
import type { Claims } from '../rules/rule-facts.ts';

/** Lowercase names, `_` read as `-`, of headers that only a verified token writes. */
export function toldHeaders(rules: readonly TokenRule[]): ReadonlySet<string> {
  const names = rules.flatMap(
    ({ outputPayloadToHeader: payload, outputClaimToHeaders: claims }) => [
      ...(payload === undefined || payload === '' ? [] : [payload]),
      ...claims.map(({ header }) => header),
    ],
  );
  return new Set(names.map(dashed));
}

/** @returns the very same where nothing of it is told */
export function withoutTold(raw: RawHeaders, names: ReadonlySet<string>): RawHeaders {
  if (names.size === 0) return raw;
  const left: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (!names.has(dashed(raw[i] ?? ''))) left.push(raw[i] ?? '', raw[i + 1] ?? '');
  }
  return left;
}

/** What a rule has upstreams told of its token, names and values alternating. @param payload as in the token */
export function told(rule: TokenRule, claims: Claims, payload: string): readonly string[] {
  const { outputPayloadToHeader: header = '' } = rule;
  const whole = header === '' ? [] : [header, payload];
  const single = rule.outputClaimToHeaders.flatMap(({ header: name, claim }) => {
    const value = written(claimAt(claims, claim.split('.')));
    return value === '' ? [] : [name, value];
  });
  return [...whole, ...single];
}

/** As Envoy: texts, numbers and truth values as they are, lists and maps as base64 of their JSON. */
function written(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'object' && value !== null) {
    return Buffer.from(JSON.stringify(value)).toString('base64');
  }
  if (typeof value !== 'string') return '';
  // A control character would end the header, or be read differently by who reads it.
  return hasControls(value) ? '' : Buffer.from(value).toString('latin1');
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\x00-\x1f\x7f]/.test(text);
}

function dashed(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}
