import { messageOf } from '@countersign/base';
import { RE2JS } from 're2js';

/** How a text is compared. Expressions are RE2's, matched whole: they take linear time whatever a stranger sends. */
export type TextMatch =
  | {
      readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains';
      readonly text: string;
      readonly ignoreCase?: boolean;
    }
  | { readonly kind: 'regex'; readonly text: string }
  /** Whatever is there. */
  | { readonly kind: 'present' };

export type TextTest = (value: string) => boolean;

const plainTests: Readonly<
  Record<'exact' | 'prefix' | 'suffix' | 'contains', (text: string) => TextTest>
> = {
  exact: (text) => (value) => value === text,
  prefix: (text) => (value) => value.startsWith(text),
  suffix: (text) => (value) => value.endsWith(text),
  contains: (text) => (value) => value.includes(text),
};

/** @throws SyntaxError where an expression is none that RE2 takes; see {@link wrongWithExpression} */
export function textTest(match: TextMatch): TextTest {
  if (match.kind === 'present') return () => true;
  if (match.kind === 'regex') {
    const compiled = RE2JS.compile(match.text);
    return (value) => compiled.matches(value);
  }
  const { text, ignoreCase = false } = match;
  if (!ignoreCase) return plainTests[match.kind](text);
  const test = plainTests[match.kind](text.toLowerCase());
  return (value) => test(value.toLowerCase());
}

/** Why RE2 does not take an expression, as the end of a sentence; undefined where it does. */
export function wrongWithExpression(text: string): string | undefined {
  if (text.length > longestExpression) {
    return `has ${text.length} characters, at most ${longestExpression} are taken`;
  }
  try {
    RE2JS.compile(text);
    return undefined;
  } catch (thrown) {
    return `is no RE2 expression: ${messageOf(thrown)}`;
  }
}

const longestExpression = 1024;
