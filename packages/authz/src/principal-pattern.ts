import { messageOf } from '@countersign/base';
import { parseSpiffeId } from '@countersign/spiffe';
import { parseTextPattern, type TextPattern } from './text-pattern.ts';

const scheme = 'spiffe://';

/**
 * Reads a principal as Istio writes it, without scheme (`example.com/ns/prod/sa/web`), or with it
 * (`spiffe://example.com/ns/prod/sa/web`), exact or with a star before or after; or says what is wrong with it as the
 * end of a sentence. What cannot be a part of any SPIFFE ID is refused: a DENY rule with it would quietly match
 * nothing.
 */
export function parsePrincipalPattern(written: string): TextPattern | string {
  const pattern = parseTextPattern(written, scheme);
  if (typeof pattern === 'string') return pattern;
  if (pattern.kind === 'exact') return wrongWithId(pattern.text) ?? pattern;
  // SPIFFE-ID §2: the characters of a trust domain and a path, between which there is one slash.
  const odd = /[^a-zA-Z0-9._/-]/.exec(pattern.text);
  if (odd !== null) return `has ${JSON.stringify(odd[0])}, which no SPIFFE ID has`;
  if (pattern.text.includes('//')) return 'has an empty path segment, which no SPIFFE ID has';
  return pattern;
}

function wrongWithId(text: string): string | undefined {
  try {
    if (parseSpiffeId(`${scheme}${text}`).path !== '') return undefined;
    return `has no path, as no workload's SPIFFE ID; for the whole trust domain write "${text}/*"`;
  } catch (thrown) {
    return `is not a SPIFFE ID: ${messageOf(thrown)}`;
  }
}
