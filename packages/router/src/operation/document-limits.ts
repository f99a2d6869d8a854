import { type Denial, denial } from '@countersign/base';
import type { RouterLimits } from '../config/router-config.ts';

type DocumentLimits = Pick<
  RouterLimits,
  | 'max_document_chars'
  | 'max_tokens'
  | 'max_depth'
  | 'max_aliases'
  | 'max_root_fields'
  | 'max_arguments'
  | 'max_directives'
  | 'max_variables'
  | 'max_deferred'
>;

/**
 * Refuses a hostile document before it is parsed, by one pass over its characters that ends at the first limit: length,
 * tokens, nesting, aliases, root fields, arguments, directives, variables. What it does not understand it leaves to the
 * parser. Fragments are expanded later, by `selection-limits.ts`.
 */
export function judgeDocument(text: string, limits: DocumentLimits): Denial | undefined {
  const long = judgeLength(text, limits);
  if (long !== undefined) return long;
  let tokens = 0;
  let depth = 0;
  let aliases = 0;
  let parentheses = 0;
  let brackets = 0;
  let written = 0;
  let directives = 0;
  let deferred = 0;
  let variables = 0;
  // Of the definition that is being read; those of a fragment are no root's.
  let roots = 0;
  let isFragment = false;
  let [before, last] = [0, 0];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (isBlank(code)) continue;
    tokens += 1;
    if (tokens > limits.max_tokens) return beyond('tokens', tokens, limits.max_tokens);
    if (code !== 0x23) [before, last] = [last, code];
    if (isNamePart(code)) {
      const start = at;
      while (at + 1 < text.length && isNamePart(text.charCodeAt(at + 1))) at += 1;
      if (parentheses > 0) continue;
      if (before === 0x40) {
        if (isWord(text, start, at, 'defer')) deferred += 1;
        if (deferred > limits.max_deferred) {
          return beyond('deferred fragments', deferred, limits.max_deferred);
        }
      } else if (depth === 0 && (before === 0 || before === 0x7d)) {
        isFragment = isWord(text, start, at, 'fragment');
      } else if (depth === 1 && !isFragment) {
        // After an ellipsis stands a fragment's name, or "on" and then a type's.
        if (before !== 0x2e) roots += 1;
        else if (isWord(text, start, at, 'on')) last = 0x2e;
        if (roots > limits.max_root_fields) {
          return beyond('root fields', roots, limits.max_root_fields);
        }
      }
    } else if (code === 0x40) {
      directives += 1;
      if (directives > limits.max_directives) {
        return beyond('directives', directives, limits.max_directives);
      }
    } else if (code === 0x24) {
      if (depth === 0 && parentheses > 0) variables += 1;
      if (variables > limits.max_variables) {
        return beyond('variables', variables, limits.max_variables);
      }
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
      if (code === 0x7b && parentheses === 0) {
        if (depth === 0) {
          roots = 0;
          // A definition that begins by its selection is a query.
          if (before === 0 || before === 0x7d) isFragment = false;
        }
        depth += 1;
      }
      const nested = Math.max(depth, brackets);
      if (nested > limits.max_depth + 1) return beyond('levels', nested - 1, limits.max_depth);
    } else if (code === 0x5d || code === 0x7d) {
      brackets -= 1;
      if (code === 0x7d && parentheses === 0) depth -= 1;
    } else if (code === 0x3a && parentheses > 0) {
      written += 1;
      if (written > limits.max_arguments) {
        return beyond('arguments', written, limits.max_arguments);
      }
    } else if (code === 0x3a) {
      // Outside of arguments and variable definitions a colon stands after an alias and nowhere else.
      aliases += 1;
      if (depth === 1) roots -= 1;
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

function isWord(text: string, start: number, end: number, word: string): boolean {
  return end - start + 1 === word.length && text.startsWith(word, start);
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
