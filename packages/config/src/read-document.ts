import { nearestWord } from '@countersign/base';
import { z } from 'zod';
import { ConfigError, type ConfigIssue } from './config-error.ts';
import { type ConfigPath, parseYamlDocuments, type SourceDocument } from './source-document.ts';

/**
 * The document's value as the schema gives it. Schemas are made of `z.strictObject`, so that an unknown key is an
 * error; the nearest valid key is named from the schema itself.
 *
 * @throws ConfigError with every issue, in file order: ERR_CONFIG_UNKNOWN_KEY, ERR_CONFIG_VALUE
 */
export function readDocument<T>(schema: z.ZodType<T>, document: SourceDocument): T {
  const result = schema.safeParse(document.value);
  if (result.success) return result.data;
  const issues = result.error.issues
    .flatMap((issue) => issuesOf(issue, schema, document))
    .sort((a, b) => a.line - b.line || a.column - b.column);
  const [first, ...rest] = issues;
  if (first === undefined) throw result.error;
  throw new ConfigError(document.file, [first, ...rest]);
}

/**
 * A file that holds exactly one document. An empty file reads as an empty map, so that a schema names what is missing.
 *
 * @throws ConfigError
 */
export function readConfigText<T>(schema: z.ZodType<T>, text: string, file: string): T {
  return readDocument(schema, parseConfigText(text, file));
}

/** As {@link readConfigText}, for callers who need the positions afterwards, for checks across keys. */
export function parseConfigText(text: string, file: string): SourceDocument {
  const [first, second] = parseYamlDocuments(text, file);
  if (second !== undefined) {
    throw configIssue(second, [], 'ERR_CONFIG_VALUE', 'a second document, where one is expected');
  }
  return first ?? { file, value: {}, positionOf: () => ({ line: 1, column: 1 }) };
}

/** One issue of a caller's own at a place in the document. */
export function configIssue(
  document: SourceDocument,
  path: ConfigPath,
  code: ConfigIssue['code'],
  message: string,
  which: 'key' | 'value' = 'value',
): ConfigError {
  return new ConfigError(document.file, [
    { code, message, path: path.join('.'), ...document.positionOf(path, which) },
  ]);
}

/** For what a file asks and this version does not do: `what` is the key or value as written. */
export function unsupported(document: SourceDocument, path: ConfigPath, what: string): ConfigError {
  return configIssue(
    document,
    path,
    'ERR_CONFIG_UNSUPPORTED',
    `${what} is not supported yet`,
    'key',
  );
}

function issuesOf(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  document: SourceDocument,
): ConfigIssue[] {
  const path = issue.path.filter((step) => typeof step !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const valid = keysAt(schema, path);
    return issue.keys.map((key) => ({
      code: 'ERR_CONFIG_UNKNOWN_KEY',
      message: unknownKeyMessage(key, path, valid),
      path: [...path, key].join('.'),
      ...document.positionOf([...path, key], 'key'),
    }));
  }
  if (issue.code === 'invalid_union') {
    const nested = deepestBranch(issue.errors).map((inner) => ({
      ...inner,
      path: [...path, ...inner.path],
    }));
    if (nested.length > 0) return nested.flatMap((inner) => issuesOf(inner, schema, document));
  }
  if (issue.code === 'invalid_key') {
    const [inner] = issue.issues;
    // What is wrong with it names the key, as much of it as can be shown.
    const holder = path.slice(0, -1).join('.');
    return [
      {
        code: 'ERR_CONFIG_VALUE',
        message: `${holder}: ${inner === undefined ? issue.message : describe(inner, path, document.value)}`,
        path: holder,
        ...document.positionOf(path, 'key'),
      },
    ];
  }
  const where = path.length === 0 ? '' : `${path.join('.')}: `;
  return [
    {
      code: 'ERR_CONFIG_VALUE',
      message: `${where}${describe(issue, path, document.value)}`,
      path: path.join('.'),
      ...document.positionOf(path),
    },
  ];
}

/** Of a union's refusals, the one that went furthest into the value is what its author meant. */
function deepestBranch(
  branches: readonly (readonly z.core.$ZodIssue[])[],
): readonly z.core.$ZodIssue[] {
  let best: readonly z.core.$ZodIssue[] = [];
  let bestDepth = 0;
  for (const branch of branches) {
    const depth = Math.max(
      0,
      ...branch.map((issue) => issue.path.length + Number(issue.code === 'unrecognized_keys')),
    );
    if (depth > bestDepth) {
      best = branch;
      bestDepth = depth;
    }
  }
  return best;
}

function unknownKeyMessage(key: string, path: ConfigPath, valid: readonly string[]): string {
  const where = path.length === 0 ? '' : ` in ${path.join('.')}`;
  const nearest = nearestWord(key, valid);
  if (nearest !== undefined)
    return `unknown key "${key}"${where}, the nearest valid key is "${nearest}"`;
  if (valid.length === 0) return `unknown key "${key}"${where}`;
  return `unknown key "${key}"${where}, valid keys are ${valid.map((name) => `"${name}"`).join(', ')}`;
}

function describe(issue: z.core.$ZodIssue, path: ConfigPath, root: unknown): string {
  const actual = valueAt(root, path);
  if (issue.code === 'invalid_type') {
    if (actual === undefined) return `missing, expected ${issue.expected}`;
    return `expected ${issue.expected}, found ${nameOf(actual)}`;
  }
  if (issue.code === 'invalid_value') {
    const allowed = issue.values.map((value) => JSON.stringify(value));
    const nearest =
      typeof actual === 'string' ? nearestWord(actual, issue.values.map(String)) : undefined;
    const hint = nearest === undefined ? '' : `, the nearest is "${nearest}"`;
    return `expected ${allowed.join(' or ')}, found ${nameOf(actual)}${hint}`;
  }
  const message = issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
  if (issue.code === 'custom' || actual === undefined || typeof actual === 'object') return message;
  return `${message}, found ${nameOf(actual)}`;
}

function nameOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nothing (an empty value)';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function valueAt(root: unknown, path: ConfigPath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

/** The keys that the schema knows at a path; of a union, those of every branch. */
function keysAt(schema: z.ZodType, path: ConfigPath): string[] {
  let schemas: z.core.$ZodType[] = unwrapped(schema);
  for (const step of path)
    schemas = schemas.flatMap((each) => child(each, step)).flatMap(unwrapped);
  return [
    ...new Set(
      schemas.flatMap((each) => (each instanceof z.ZodObject ? Object.keys(each.shape) : [])),
    ),
  ];
}

function child(schema: z.core.$ZodType, step: string | number): z.core.$ZodType[] {
  if (schema instanceof z.ZodObject) {
    const inner = schema.shape[step] as z.core.$ZodType | undefined;
    return inner === undefined ? [] : [inner];
  }
  if (schema instanceof z.ZodRecord) return [schema.def.valueType];
  if (schema instanceof z.ZodArray) return [schema.def.element];
  return [];
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType[] {
  if (schema instanceof z.ZodUnion) return schema.def.options.flatMap(unwrapped);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly
  ) {
    return unwrapped(schema.def.innerType);
  }
  if (schema instanceof z.ZodPipe) {
    return schema.def.in instanceof z.ZodTransform
      ? unwrapped(schema.def.out)
      : unwrapped(schema.def.in);
  }
  if (schema instanceof z.ZodLazy) return unwrapped(schema.def.getter());
  return [schema];
}
