import {
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseAllDocuments,
} from 'yaml';
import { ConfigError } from './config-error.ts';

export type ConfigPath = readonly (string | number)[];

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** One YAML document as plain values, which still knows where each of them is written. */
export interface SourceDocument {
  /** As the operator named it; used in messages only. */
  readonly file: string;
  readonly value: unknown;
  /** Where a value (or the key before it) stands; the nearest enclosing node where the path leads nowhere. */
  positionOf(path: ConfigPath, which?: 'key' | 'value'): Position;
}

export interface YamlLimits {
  readonly maxBytes: number;
  readonly maxDocuments: number;
  /** Bounds what aliases may expand to, so that a small file cannot become a large value. */
  readonly maxAliasCount: number;
}

const defaultLimits: YamlLimits = {
  maxBytes: 1024 * 1024,
  maxDocuments: 1000,
  maxAliasCount: 100,
};

/**
 * All documents of a YAML (or JSON) text; empty ones are left out. At most 1 MiB and 1,000 documents unless the caller
 * knows its files to be larger; duplicate keys are errors.
 *
 * @throws ConfigError ERR_CONFIG_SYNTAX with line and column
 */
export function parseYamlDocuments(
  text: string,
  file: string,
  limits: YamlLimits = defaultLimits,
): SourceDocument[] {
  const { maxBytes, maxDocuments, maxAliasCount } = limits;
  if (text.length > maxBytes) {
    throw syntaxError(
      file,
      { line: 1, column: 1 },
      `${text.length} characters, at most ${maxBytes} are read`,
    );
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    version: '1.2',
  });
  if (!Array.isArray(documents)) return [];
  if (documents.length > maxDocuments) {
    throw syntaxError(
      file,
      { line: 1, column: 1 },
      `${documents.length} documents, at most ${maxDocuments} are read`,
    );
  }
  const sources: SourceDocument[] = [];
  for (const document of documents) {
    const broken = document.errors[0] ?? document.warnings[0];
    if (broken !== undefined) {
      const at = lines.linePos(broken.pos[0]);
      throw syntaxError(file, { line: at.line, column: at.col }, firstLine(broken.message));
    }
    if (document.contents === null) continue;
    if (isScalar(document.contents) && document.contents.value === null) continue;
    const root = document.contents as Node;
    sources.push({
      file,
      value: plainValue((options) => document.toJS(options), file, maxAliasCount),
      positionOf: (path, which = 'value') => {
        const at = lines.linePos(offsetOf(root, path, which));
        return { line: Math.max(1, at.line), column: Math.max(1, at.col) };
      },
    });
  }
  return sources;
}

function plainValue(
  toJS: (options: { maxAliasCount: number }) => unknown,
  file: string,
  maxAliasCount: number,
): unknown {
  try {
    return toJS({ maxAliasCount });
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw syntaxError(file, { line: 1, column: 1 }, firstLine(reason));
  }
}

function offsetOf(root: Node, path: ConfigPath, which: 'key' | 'value'): number {
  let node: Node = root;
  let offset = root.range?.[0] ?? 0;
  for (const [index, step] of path.entries()) {
    if (isAlias(node) || !isCollection(node)) return offset;
    const last = index === path.length - 1;
    const item = isMap(node)
      ? node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(step))
      : node.items[Number(step)];
    if (item === undefined) return offset;
    if (!isPair(item)) {
      node = item as Node;
      offset = node.range?.[0] ?? offset;
      continue;
    }
    const key = item.key as Node;
    const value = item.value as Node | null;
    offset = key.range?.[0] ?? offset;
    if (value === null) return offset;
    if (!(last && which === 'key')) offset = value.range?.[0] ?? offset;
    node = value;
  }
  return offset;
}

function syntaxError(file: string, at: Position, reason: string): ConfigError {
  return new ConfigError(file, [{ code: 'ERR_CONFIG_SYNTAX', message: reason, path: '', ...at }]);
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}
