/** Which certificates a revocation by time covers: those ordered in it, where something else is named of these alone. */
export interface RevocationWindow {
  /** The first moment, in milliseconds since the epoch. Absent: since ever. */
  readonly after?: number;
  /** The first moment that is not in it. Absent: up to the revocation. */
  readonly before?: number;
  readonly and?: { readonly by: WindowedBy; readonly value: string };
}

export const windowedBys = [
  'spiffe-id',
  'spiffe-prefix',
  'key',
  'issuer',
  'provisioner',
  'token',
] as const;
export type WindowedBy = (typeof windowedBys)[number];

/** As ISO 8601 writes an interval, open ends as `..`; then, apart, what else is named: `2026-01-01T00:00:00.000Z/.. key 0a…`. */
export function formatRevocationWindow({ after, before, and }: RevocationWindow): string {
  const span = `${momentText(after)}/${momentText(before)}`;
  return and === undefined ? span : `${span} ${and.by} ${and.value}`;
}

/** Undefined where it is none, or not in its one spelling. What `and` names is not looked at. */
export function parseRevocationWindow(text: string): RevocationWindow | undefined {
  const found = form.exec(text);
  if (found === null) return undefined;
  const [, from = '', to = '', by, value] = found;
  const [after, before] = [momentOf(from), momentOf(to)];
  const window = {
    ...(after !== undefined && { after }),
    ...(before !== undefined && { before }),
    ...(by !== undefined && value !== undefined && { and: { by: by as WindowedBy, value } }),
  };
  const isSomeTime = after === undefined || before === undefined ? from !== to : after < before;
  return isSomeTime && formatRevocationWindow(window) === text ? window : undefined;
}

const moment = String.raw`\.\.|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
const form = new RegExp(`^(${moment})/(${moment})(?: (${windowedBys.join('|')}) (.+))?$`);

function momentText(at: number | undefined): string {
  return at === undefined ? '..' : new Date(at).toISOString();
}

function momentOf(text: string): number | undefined {
  if (text === '..') return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}
