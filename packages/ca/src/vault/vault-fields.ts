import { parseDuration } from '@countersign/base';
import { badRequest, unsupported, type VaultRefusal } from './vault-refusal.ts';

/** How a field of that API is written: durations as seconds or as `1h`, lists as lists or with commas. */
export type FieldKind = 'bool' | 'int' | 'duration' | 'text' | 'list' | 'map' | 'any';

export interface Field {
  readonly kind: FieldKind;
  readonly otherwise: unknown;
  /** For path help. */
  readonly help: string;
  /** It is understood and not done: whatever differs from `otherwise` is refused, and the client told this. */
  readonly only?: string;
}

export type FieldTable = Readonly<Record<string, Field>>;
export type Values = Readonly<Record<string, unknown>>;

export interface ReadFields {
  readonly ok: true;
  /** Every field of the table, with its default where the request has none; durations in seconds. */
  readonly values: Values;
  /** Those that the request has. */
  readonly given: ReadonlySet<string>;
  readonly unknown: readonly string[];
}

/** Reads what a request says by a table. Refusals name the field. */
export function readFields(
  table: FieldTable,
  body: Values,
  before: Values = {},
): ReadFields | VaultRefusal {
  const values: Record<string, unknown> = {};
  const given = new Set<string>();
  for (const [name, field] of Object.entries(table)) {
    const written = Object.hasOwn(body, name) ? body[name] : undefined;
    if (written === undefined || written === null) {
      values[name] = Object.hasOwn(before, name) ? before[name] : field.otherwise;
      continue;
    }
    const read = readers[field.kind](written);
    if ('wrong' in read) {
      return badRequest(
        `Field validation failed: error converting input for field "${name}": ${read.wrong}`,
      );
    }
    if (field.only !== undefined && !isSame(read.value, field.otherwise)) {
      return unsupported(name, field.only);
    }
    values[name] = read.value;
    given.add(name);
  }
  const unknown = Object.keys(body).filter((name) => !Object.hasOwn(table, name));
  return { ok: true, values, given, unknown };
}

export function ignoredParameters(unknown: readonly string[]): string[] {
  if (unknown.length === 0) return [];
  const names = unknown.slice(0, 20).map((each) => each.slice(0, 100));
  return [`Endpoint ignored these unrecognized parameters: [${names.toSorted().join(' ')}]`];
}

export const field = {
  bool: (otherwise: boolean, help: string): Field => ({ kind: 'bool', otherwise, help }),
  int: (otherwise: number, help: string): Field => ({ kind: 'int', otherwise, help }),
  /** In seconds. */
  duration: (otherwise: number, help: string): Field => ({ kind: 'duration', otherwise, help }),
  text: (otherwise: string, help: string): Field => ({ kind: 'text', otherwise, help }),
  list: (otherwise: readonly string[], help: string): Field => ({ kind: 'list', otherwise, help }),
  map: (help: string): Field => ({ kind: 'map', otherwise: {}, help }),
  any: (help: string): Field => ({ kind: 'any', otherwise: undefined, help }),
  only: (of: Field, then: string): Field => ({ ...of, only: then }),
} as const;

/** Of a value that a table has read. */
export const get = {
  bool: (values: Values, name: string): boolean => values[name] === true,
  number: (values: Values, name: string): number => Number(values[name] ?? 0),
  text: (values: Values, name: string): string => String(values[name] ?? ''),
  list: (values: Values, name: string): readonly string[] =>
    (values[name] as readonly string[] | undefined) ?? [],
} as const;

/** Go's way of writing a duration, which clients show: `24h0m0s`. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (h > 0) return `${h}h${m}m${s}s`;
  return m > 0 ? `${m}m${s}s` : `${s}s`;
}

type Read = { readonly value: unknown } | { readonly wrong: string };

const mostText = 64 * 1024;
const mostEntries = 1000;

const readers: Readonly<Record<FieldKind, (written: unknown) => Read>> = {
  bool(written) {
    if (typeof written === 'boolean') return { value: written };
    const words: Readonly<Record<string, boolean>> = {
      true: true,
      false: false,
      '1': true,
      '0': false,
    };
    const value = words[String(written).toLowerCase()];
    return value === undefined ? wrongForm('a boolean', written) : { value };
  },
  int(written) {
    const value =
      typeof written === 'string' && /^-?\d{1,15}$/.test(written) ? Number(written) : written;
    return Number.isSafeInteger(value) ? { value } : wrongForm('a whole number', written);
  },
  duration(written) {
    if (written === '') return { value: 0 };
    if (typeof written === 'number' || /^\d{1,15}$/.test(String(written))) {
      const value = Number(written);
      return Number.isSafeInteger(value) && value >= 0
        ? { value }
        : wrongForm('a duration', written);
    }
    const ms = typeof written === 'string' && written.length < 64 ? durationMs(written) : undefined;
    if (ms !== undefined) return { value: Math.floor(ms / 1000) };
    return { wrong: `time: invalid duration ${JSON.stringify(String(written).slice(0, 60))}` };
  },
  text(written) {
    if (typeof written === 'number' || typeof written === 'boolean')
      return { value: String(written) };
    if (typeof written !== 'string') return wrongForm('a string', written);
    return written.length > mostText
      ? { wrong: `more than ${mostText} characters` }
      : { value: written };
  },
  list(written) {
    const parts = Array.isArray(written) ? written : String(written).split(',');
    if (typeof written === 'object' && !Array.isArray(written)) return wrongForm('a list', written);
    if (parts.length > mostEntries) return { wrong: `more than ${mostEntries} entries` };
    const isFlat = parts.every((each) => typeof each === 'string' || typeof each === 'number');
    if (!isFlat) return wrongForm('a list of strings', written);
    return { value: parts.map((each) => String(each).trim()).filter((each) => each !== '') };
  },
  map(written) {
    if (typeof written === 'object' && written !== null && !Array.isArray(written))
      return { value: written };
    try {
      const parsed: unknown = JSON.parse(String(written));
      if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
        return { value: parsed };
    } catch {
      // The caller says what was expected.
    }
    return wrongForm('a map', written);
  },
  any: (written) => ({ value: written }),
};

function durationMs(text: string): number | undefined {
  try {
    return parseDuration(text);
  } catch {
    // The caller says what was expected.
    return undefined;
  }
}

/** Without the value: it may be a secret in the wrong form. */
function wrongForm(wanted: string, written: unknown): Read {
  const found = Array.isArray(written) ? 'a list' : `a ${typeof written}`;
  return { wrong: `expected ${wanted}, found ${found}` };
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
