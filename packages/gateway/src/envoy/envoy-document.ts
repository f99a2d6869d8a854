import type { ConfigPath, SourceDocument } from '@countersign/config';
import { z } from 'zod';

/** Whether a document is an Envoy bootstrap: its keys are no others'. */
export function isEnvoyBootstrap({ value }: Pick<SourceDocument, 'value'>): boolean {
  const fields = Object(value) as object;
  return ['static_resources', 'staticResources', 'dynamic_resources', 'dynamicResources'].some(
    (key) => key in fields,
  );
}

/**
 * The same document with its keys in snake_case: protobuf takes both spellings, and schemas need one. It still knows
 * where each value stands in the file. Names that are keys themselves, such as those of extensions, have no capitals.
 */
export function snakeCased(document: SourceDocument): SourceDocument {
  return {
    ...document,
    value: snakeValue(document.value),
    positionOf: (path, which) => document.positionOf(asWritten(document.value, path), which),
  };
}

/** A message within an Any, told by its `@type`. */
export function typed<T extends z.ZodRawShape>(type: string, shape: T) {
  return z.strictObject({ '@type': z.literal(`type.googleapis.com/${type}`), ...shape });
}

/** Bytes that are in a file or in the configuration. */
export const dataSource = z
  .strictObject({
    filename: z.string().min(1).optional(),
    inline_string: z.string().min(1).optional(),
  })
  .refine(
    (source) => Object.keys(source).length === 1,
    'expected one of filename and inline_string',
  );
export type DataSource = z.output<typeof dataSource>;

export const socketAddress = z.strictObject({
  socket_address: z.strictObject({
    address: z.string().min(1),
    port_value: z.int().min(0).max(65_535),
    protocol: z.literal('TCP').optional(),
  }),
});

/** Only the value that changes nothing: whoever writes another is told that it is not done. */
export function only<const T extends string | number | boolean>(...values: readonly T[]) {
  const known = values.map((each) => JSON.stringify(each)).join(' or ');
  const isDone = (value: unknown): boolean => values.some((each) => each === value);
  return z.custom<T>(isDone, `is not done by this gateway, but for ${known}`).optional();
}

function snakeValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [snakeKey(key), snakeValue(inner)]),
  );
}

function snakeKey(key: string): string {
  if (!/^[a-z][a-zA-Z0-9]*$/.test(key)) return key;
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function asWritten(root: unknown, path: ConfigPath): (string | number)[] {
  let value = root;
  return path.map((step) => {
    const fields = Object(value) as Record<string | number, unknown>;
    const key =
      step in fields ? step : (Object.keys(fields).find((each) => snakeKey(each) === step) ?? step);
    value = fields[key];
    return key;
  });
}
