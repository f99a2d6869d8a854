import { type ConfigPath, configIssue, type SourceDocument } from '@countersign/config';

export type Environment = Readonly<Record<string, string | undefined>>;

/** `${NAME}` or `${NAME:-default}`; `$${` stands for a literal `${`. */
const reference = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

/**
 * The document with its references to environment variables replaced, in values only. A value that is one reference and
 * nothing else may become a number or a boolean; all others stay text, whatever the variable holds.
 *
 * @throws ConfigError ERR_CONFIG_VALUE for a variable that is not set and has no default
 */
export function withEnvironment(document: SourceDocument, env: Environment): SourceDocument {
  return { ...document, value: replaced(document.value, []) };

  function replaced(value: unknown, path: ConfigPath): unknown {
    if (typeof value === 'string') return replacedText(value, path);
    if (Array.isArray(value)) return value.map((each, i) => replaced(each, [...path, i]));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value);
    return Object.fromEntries(entries.map(([key, each]) => [key, replaced(each, [...path, key])]));
  }

  function replacedText(text: string, path: ConfigPath): unknown {
    let isReplaced = false;
    const result = text.replace(reference, (written, name?: string, fallback?: string) => {
      if (name === undefined) return '${';
      isReplaced = true;
      const found = env[name];
      // As in a shell: ":-" also stands in for an empty variable.
      const value = fallback !== undefined && found === '' ? undefined : found;
      if (value !== undefined) return value;
      if (fallback !== undefined) return fallback;
      const message = `${path.join('.')}: environment variable "${name}" is not set`;
      throw configIssue(
        document,
        path,
        'ERR_CONFIG_VALUE',
        `${message}, and ${written} has no default`,
      );
    });
    const isWhole = isReplaced && /^\$\{[^}]*\}$/.test(text);
    return isWhole ? scalarOf(result) : result;
  }
}

function scalarOf(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?(0|[1-9]\d{0,14})(\.\d{1,9})?$/.test(text) ? Number(text) : text;
}
