import { printable } from '../printable.ts';

/** One thing found in an input: the same facts for programs (`facts`) and for people (`rows`). */
export interface Inspection {
  /** `certificate`, `certificate request`, `revocation list`, `public key`, `private key`, `bundle document`, `key of an authority`. */
  readonly kind: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly rows: readonly InspectionRow[];
}

/** A label and one or several lines; none is printed where there are no lines. */
export type InspectionRow = readonly [label: string, lines: string | readonly string[]];

export function formatInspection(
  inspection: Inspection,
  title: string,
  bold: (text: string) => string,
): string {
  const lines = inspection.rows.flatMap(([label, value]) => {
    const list = typeof value === 'string' ? [value] : value;
    return list.map((line, i) => `  ${(i === 0 ? label : '').padEnd(12)} ${printable(line)}\n`);
  });
  return `${bold(title)}\n${lines.join('')}`;
}
