/**
 * A command line as it is typed, cut into its words: ``words`init --data ${path}` ``. Values stay whole, whatever is
 * in them.
 */
export function words(texts: TemplateStringsArray, ...values: readonly string[]): string[] {
  return texts.flatMap((text, i) => {
    const literal = text.split(' ').filter((word) => word !== '');
    const value = values[i];
    return value === undefined ? literal : [...literal, value];
  });
}
