import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError, messageOf, writeFileDurably } from '@countersign/base';
import { z } from 'zod';

/** Of a connection's source address, as far as it came in plaintext. */
const callerSchema = z.strictObject({
  address: z.string(),
  count: z.int(),
  refused: z.int(),
  firstAt: z.number(),
  lastAt: z.number(),
});

const enforcementSchema = z.strictObject({
  /** `watched`: STRICT on trial; `kept`: the trial went well; `rolled-back`: it did not. */
  state: z.enum(['watched', 'kept', 'rolled-back']),
  startedAt: z.number(),
  windowMs: z.number(),
  /** Refused connections that are borne with; one more rolls back. */
  budget: z.int(),
  refused: z.int(),
  endedAt: z.number().optional(),
});
export type Enforcement = z.output<typeof enforcementSchema>;

const portSchema = z.strictObject({
  /** How long the port was watched, whenever that was. */
  watchedMs: z.number(),
  /** How much of that time, up to now, nobody came in plaintext. */
  quietMs: z.number(),
  mtls: z.int(),
  plaintext: z.int(),
  callers: z.array(callerSchema),
  /** Callers that were forgotten for newer ones. */
  forgotten: z.int(),
  enforcement: enforcementSchema.optional(),
});
/** What was seen of a port, and what was decided about it. */
export type PortRecord = z.output<typeof portSchema>;

const fileSchema = z.strictObject({
  version: z.literal(1),
  ports: z.record(z.string(), portSchema),
});

const fileName = 'sidecar.json';

export function emptyRecord(): PortRecord {
  return { watchedMs: 0, quietMs: 0, mtls: 0, plaintext: 0, callers: [], forgotten: 0 };
}

/**
 * By the port of the application.
 *
 * @throws CountersignError ERR_FILE where there is something that cannot be read: a port on trial would be open again
 */
export async function readPortRecords(dataDir: string): Promise<Map<number, PortRecord>> {
  const path = join(dataDir, fileName);
  try {
    const { ports } = fileSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    return new Map(Object.entries(ports).map(([port, record]) => [Number(port), record]));
  } catch (thrown) {
    if ((thrown as { code?: string }).code === 'ENOENT') return new Map();
    const message = `read what was seen of ports from "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_FILE', message, { cause: thrown });
  }
}

/** Whole or not at all. */
export async function writePortRecords(
  dataDir: string,
  records: ReadonlyMap<number, PortRecord>,
): Promise<void> {
  const ports = Object.fromEntries(records);
  const text = `${JSON.stringify({ version: 1, ports }, null, 2)}\n`;
  await writeFileDurably(join(dataDir, fileName), text, { mode: 0o600 });
}
