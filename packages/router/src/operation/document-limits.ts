import { type Denial, denial } from '@countersign/base';
import type { RouterLimits } from '../config/router-config.ts';

type DocumentLimits = Pick<
  RouterLimits,
  'max_document_chars' | 'max_tokens' | 'max_depth' | 'max_aliases'
>;

/**
 * Refuses a hostile document before it is parsed, by one pass over its characters that ends at the first limit: length,
 * tokens, nesting, aliases. What it does not understand it leaves to the parser. Fragments are expanded later, by
 * `selection-limits.ts`.
 */
export function judgeDocument(text: string, limits: DocumentLimits): Denial | undefined {
  const long = judgeLength(text, limits);
  if (long !== undefined) return long;
  let tokens = 0;
  let depth = 0;
  let aliases = 0;
  let parentheses = 0;
  let brackets = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (isBlank(code)) continue;
    tokens += 1;
    if (tokens > limits.max_tokens) return beyond('tokens', tokens, limits.max_tokens);
    if (isNamePart(code)) {
      while (at + 1 < text.length && isNamePart(text.charCodeAt(at + 1))) at += 1;
    } else if (code === 0x22) {
      at = endOfString(text, at);
    } else if (code === 0x23) {
      while (at + 1 < text.length && !isLineEnd(text.charCodeAt(at + 1))) at += 1;
    } else if (code === 0x28) {
      parentheses += 1;
    } else if (code === 0x29) {
      parentheses -= 1;
    } else if (code === 0x5b || code === 0x7b) {
      brackets += 1;
      if (code === 0x7b && parentheses === 0) depth += 1;
      const nested = Math.max(depth, brackets);
      if (nested > limits.max_depth + 1) return beyond('levels', nested - 1, limits.max_depth);
    } else if (code === 0x5d || code === 0x7d) {
      brackets -= 1;
      if (code === 0x7d && parentheses === 0) depth -= 1;
    } else if (code === 0x3a && parentheses === 0) {
      // Outside of arguments and variable definitions a colon stands after an alias and nowhere else.
      aliases += 1;
      if (aliases > limits.max_aliases) return beyond('aliases', aliases, limits.max_aliases);
    }
  }
  return undefined;
}

/** Whether a document is too long to be looked at, or looked up. */
export function judgeLength(
  text: string,
  { max_document_chars: most }: Pick<DocumentLimits, 'max_document_chars'>,
): Denial | undefined {
  return text.length > most ? beyond('characters', text.length, most) : undefined;
}

export function beyond(what: string, found: number, limit: number): Denial {
  return denial(
    'ERR_GRAPHQL_LIMIT',
    `document has ${found} ${what}, at most ${limit} are let through`,
    {
      what,
      found,
      limit,
    },
  );
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x2c || (code >= 0x09 && code <= 0x0d) || code === 0xfeff;
}

function isLineEnd(code: number): boolean {
  return code === 0x0a || code === 0x0d;
}

function isNamePart(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x5f
  );
}

/** The place of a string's last quote, or of the text's last character where it does not end. */
function endOfString(text: string, start: number): number {
  const isBlock = text.startsWith('"""', start);
  let at = start + (isBlock ? 3 : 1);
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (isBlock) {
      if (code === 0x5c && text.startsWith('\\"""', at)) at += 3;
      else if (code === 0x22 && text.startsWith('"""', at)) return at + 2;
    } else if (code === 0x5c) at += 1;
    else if (code === 0x22 || isLineEnd(code)) return at;
  }
  return text.length;
}
