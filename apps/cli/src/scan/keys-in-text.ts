import { fromBase64 } from '@countersign/base';
import type { ByteSource } from './byte-source.ts';
import { decodeBlock, decodeJwk } from './decode-found-key.ts';
import type { FoundKey } from './found-key.ts';

const windowBytes = 1024 * 1024;
/** Larger than any key as it is written down: what begins in one window ends in it or in the next. */
const longestKey = 96 * 1024;

/** The private keys in a text of any length, a window at a time: PEM, PEM in base64 as in a Kubernetes secret, JWK. */
export async function keysInText(source: ByteSource): Promise<FoundKey[]> {
  const keys = new Map<number, FoundKey>();
  let kept = '';
  let before = 0;
  let linesBefore = 0;
  for (;;) {
    const part = await source.read(windowBytes);
    if (part.byteLength === 0) break;
    const text = kept + part.toString('latin1');
    for (const { at, key } of keysIn(text)) {
      if (keys.has(before + at)) continue;
      keys.set(before + at, { ...key, line: linesBefore + linesIn(text, at) + 1 });
    }
    const cut = Math.max(0, text.length - longestKey);
    linesBefore += linesIn(text, cut);
    before += cut;
    kept = text.slice(cut);
  }
  return [...keys.values()];
}

interface Placed {
  readonly at: number;
  readonly key: FoundKey;
}

function keysIn(text: string): Placed[] {
  return [...pemKeys(text), ...encodedPemKeys(text), ...jwks(text)].toSorted((a, b) => a.at - b.at);
}

function* pemKeys(text: string): Generator<Placed> {
  if (!text.includes('PRIVATE KEY-----')) return;
  const begins = [...text.matchAll(/-----BEGIN ((?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY)-----/g)];
  for (const [i, begin] of begins.entries()) {
    const label = begin[1] ?? '';
    const from = begin.index + begin[0].length;
    // never beyond the next one: the search is linear in the text whatever it holds
    const block = text.slice(
      from,
      Math.min(from + longestKey, begins[i + 1]?.index ?? text.length),
    );
    const to = block.indexOf(`-----END ${label}-----`);
    if (to < 0) continue;
    const { body, isEncrypted } = bodyOf(block.slice(0, to));
    const bytes = body === '' ? undefined : fromBase64(body);
    const decoded = bytes && decodeBlock(label, bytes, isEncrypted);
    if (decoded !== undefined) yield { at: begin.index, key: { ...decoded, encoding: 'PEM' } };
  }
}

/**
 * The base64 of a block as people paste it: indented in YAML, with line breaks written as in JSON, a string a line in
 * source code. Headers stand before an empty line (RFC 1421).
 */
function bodyOf(written: string): { readonly body: string; readonly isEncrypted: boolean } {
  const lines = written
    .replaceAll(/\\{1,4}r\\{1,4}n|\\{1,4}[nr]/g, '\n')
    .replaceAll('\\/', '/')
    .split(/[\r\n]+/)
    .map((line) => line.replace(/^[\s"'`>#*]+/, '').trimEnd())
    .map((line) => line.replace(/["'`]\s{0,8}[+,;]?$|\\{1,4}$/, '').trimEnd())
    .filter((line) => line !== '' && line !== '+');
  const headers = lines.filter((line) => line.includes(':'));
  return {
    body: lines.filter((line) => !line.includes(':')).join(''),
    isEncrypted: headers.some((line) => /^Proc-Type:.*ENCRYPTED/.test(line)),
  };
}

/** `-----BEGIN ` in base64, from the first octet on: values of Kubernetes secrets and of many CI systems. */
function* encodedPemKeys(text: string): Generator<Placed> {
  if (!text.includes('LS0tLS1CRUdJTi')) return;
  for (const found of text.matchAll(/LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,131072}={0,2}/g)) {
    const inner = Buffer.from(found[0], 'base64').toString('latin1');
    let ordinal = 0;
    for (const { key } of pemKeys(inner)) {
      yield { at: found.index + ordinal, key: { ...key, encoding: 'PEM in base64' } };
      ordinal += 1;
    }
  }
}

function* jwks(text: string): Generator<Placed> {
  if (!text.includes('"kty"')) return;
  const members = [...text.matchAll(/"kty"\s{0,64}:/g)].map(({ index }) => index);
  for (const [i, member] of members.entries()) {
    // one member of that name an object: what lies beyond the next or before the last is not of this one
    const from = openingBefore(text, member, members[i - 1] ?? 0);
    if (from === undefined) continue;
    const object = objectAt(
      text.slice(from, Math.min(from + longestJwk, members[i + 1] ?? text.length)),
    );
    const decoded = object && decodeJwk(object);
    if (decoded !== undefined) yield { at: from, key: { ...decoded, encoding: 'JSON' } };
  }
}

const longestJwk = 32 * 1024;

/** The brace of the object that a member stands in: members of a JWK are texts and lists of texts. */
function openingBefore(text: string, at: number, first: number): number | undefined {
  let depth = 0;
  for (let i = at - 1; i >= first && at - i <= longestJwk; i -= 1) {
    if (text[i] === '}') depth += 1;
    if (text[i] !== '{') continue;
    if (depth === 0) return i;
    depth -= 1;
  }
  return undefined;
}

/** The object that a text begins with. */
function objectAt(text: string): Record<string, unknown> | undefined {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (inString) {
      if (c === '\\') i += 1;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === '{') depth += 1;
    else if (c === '}') {
      depth -= 1;
      if (depth === 0) return parsed(text.slice(0, i + 1));
    }
  }
  return undefined;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function linesIn(text: string, end: number): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) {
    lines += 1;
  }
  return lines;
}
