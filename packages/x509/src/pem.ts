import { CountersignError, type ErrorCode, fromBase64, toBase64 } from '@countersign/base';

export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY`… */
  readonly label: string;
  readonly bytes: Uint8Array;
}

export interface PemLimits {
  /** Characters of the whole text; 96 Mi unless given, a list of a million entries. */
  readonly maxLength: number;
  /** 10,000 unless given. */
  readonly maxBlocks: number;
}

const defaultLimits: PemLimits = { maxLength: 96 * 1024 * 1024, maxBlocks: 10_000 };

/**
 * The blocks of a text (RFC 7468), in order; explanatory text around them is skipped. Strict inside: matching labels,
 * base64 alone with canonical padding, no headers. Any line length and trailing blanks are taken. Errors name the line,
 * never its content, which may be a secret.
 *
 * @throws CountersignError ERR_PEM_NONE where there is no block, ERR_PEM_MALFORMED, ERR_PEM_LIMIT
 */
export function decodePem(
  text: string | Uint8Array,
  limits: PemLimits = defaultLimits,
): PemBlock[] {
  const whole = typeof text === 'string' ? text : latin1(text);
  if (whole.length > limits.maxLength) {
    const sides = `${whole.length} characters, at most ${limits.maxLength} are read`;
    throw new CountersignError('ERR_PEM_LIMIT', `PEM text of ${sides}`);
  }
  const lines = whole.split(/\r\n|\n|\r/);
  const blocks: PemBlock[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const label = boundary('BEGIN', lines[at]);
    if (label === undefined) {
      refuseStray(lines[at], at);
      continue;
    }
    if (blocks.length === limits.maxBlocks) {
      const message = `PEM text has more than ${limits.maxBlocks} blocks`;
      throw new CountersignError('ERR_PEM_LIMIT', message);
    }
    const end = findEnd(lines, at, label);
    blocks.push({ label, bytes: decodeBody(lines, at, end) });
    at = end;
  }
  if (blocks.length === 0) throw new CountersignError('ERR_PEM_NONE', 'text has no PEM block');
  return blocks;
}

/** The blocks with one of these labels. @throws CountersignError ERR_PEM_NONE where there is none */
export function decodePemOf(text: string | Uint8Array, labels: readonly string[]): Uint8Array[] {
  const blocks = decodePem(text);
  const wanted = blocks.filter((block) => labels.includes(block.label));
  if (wanted.length > 0) return wanted.map((block) => block.bytes);
  const found = [...new Set(blocks.map((block) => block.label))].join(', ');
  const message = `PEM text has no ${labels.join(' or ')} block, it has: ${found}`;
  throw new CountersignError('ERR_PEM_NONE', message, { fields: { labels, found } });
}

/** One block of 64-character lines, with a final newline. */
export function encodePem(label: string, bytes: Uint8Array): string {
  const body = toBase64(bytes).replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function boundary(which: 'BEGIN' | 'END', line = ''): string | undefined {
  if (!line.startsWith(`-----${which} `)) return undefined;
  const match = /^-----(?:BEGIN|END) ([A-Z0-9][A-Z0-9 #./-]{0,63})-----[ \t]*$/.exec(line);
  return match?.[1];
}

function refuseStray(line: string | undefined, at: number): void {
  if (line === undefined || !/^-----(?:BEGIN|END) /.test(line)) return;
  malformed(at, 'a boundary that opens no block');
}

function findEnd(lines: readonly string[], begin: number, label: string): number {
  for (let at = begin + 1; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (!line.startsWith('-----')) continue;
    const found = boundary('END', line);
    if (found === label) return at;
    malformed(at, `END ${label} expected${found === undefined ? '' : `, END ${found} found`}`);
  }
  return malformed(begin, `block ${label} has no END line`);
}

function decodeBody(lines: readonly string[], begin: number, end: number): Uint8Array {
  const parts: string[] = [];
  for (let at = begin + 1; at < end; at += 1) {
    const part = (lines[at] ?? '').trimEnd();
    if (/^[A-Za-z0-9+/]*={0,2}$/.test(part)) parts.push(part);
    else if (part.includes(':')) {
      // RFC 7468 §2: attributes before the body are not allowed
      const code = /^Proc-Type:.*ENCRYPTED/.test(part) ? 'ERR_KEY_ENCRYPTED' : 'ERR_PEM_MALFORMED';
      malformed(at, 'header in a block', code);
    } else malformed(at, 'characters outside base64');
  }
  const bytes = fromBase64(parts.join(''));
  if (bytes === undefined) malformed(begin, 'body is not canonical base64');
  if (bytes.byteLength === 0) malformed(begin, 'body is empty');
  return bytes;
}

function malformed(at: number, detail: string, code: ErrorCode = 'ERR_PEM_MALFORMED'): never {
  throw new CountersignError(code, `PEM line ${at + 1}: ${detail}`, { fields: { line: at + 1 } });
}
