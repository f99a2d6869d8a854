import { randomBytes } from 'node:crypto';
import { cp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  type Clock,
  CountersignError,
  type Log,
  messageOf,
  prepareDirectory,
  writeFileDurably,
} from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import type { SecretPlaces } from '../signers/secret-source.ts';
import { readStateCertificates } from '../state-certificates.ts';
import { checkStateConfig } from '../state-config.ts';
import { proveLedgerKnows, stateFaults } from '../state-faults.ts';
import { readMadeCertificates } from '../state-files.ts';
import {
  formatStateManifest,
  keyFileName,
  keyFileOf,
  readStateManifest,
  type StateManifest,
  stateLayout,
} from '../state-layout.ts';
import { backUpLedger, type LedgerBackup, restoreLedger } from './back-up-ledger.ts';
import type { LedgerPages } from './ledger-pages.ts';
import { openNewLedger } from './open-ledger.ts';

/** What a backup leaves out: the ledger itself, which goes in another form, what runs, and what opens the keys. */
const running = /^(?:ledger\.db.*|admin\.sock.*|\..*|.*\.pid)$/;
const keyFiles = /^(?:log\.)?unseal\.key$/;
const ledgerName = 'ledger.ndjson';
const comesFirst: ReadonlySet<string> = new Set(['log', 'hierarchy.json']);

export interface BackUpOptions {
  /** The data directory. */
  readonly data: string;
  /** Made by this; it must not be there. */
  readonly out: string;
  readonly ledger: Omit<LedgerPages, 'openIntents'>;
  /** Whether what opens the sealed keys goes with them. Default false: keep it elsewhere. */
  readonly withKeyFiles?: boolean | undefined;
}

/**
 * Copies an authority while it runs: its files, and the ledger as JSON lines. The issuance log and the hierarchy come before
 * the ledger, so that they say nothing that the ledger does not know. Whole or not at all: it gets its name when it is.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_EXISTS, ERR_FILE, and those of the ledger
 */
export async function backUpState(options: BackUpOptions): Promise<LedgerBackup> {
  const { data, ledger, withKeyFiles = false } = options;
  const out = resolve(options.out);
  const manifest = await readStateManifest(data);
  await mustBeFree(out, 'back up');
  const staging = stagingFor(out, 'backup');
  return wholeOrNot(staging, 'back up to', out, async function copyAll() {
    await prepareDirectory(staging, `back up to "${out}"`, { mode: 0o700 });
    const names = (await readdir(data)).filter(
      (name) => !running.test(name) && (withKeyFiles || !keyFiles.test(name)),
    );
    const first = names.filter((name) => comesFirst.has(name));
    const last = names.filter((name) => !comesFirst.has(name));
    for (const name of first) await cp(join(data, name), join(staging, name), { recursive: true });
    const made = await backUpLedger(ledger, join(staging, ledgerName));
    for (const name of last) await cp(join(data, name), join(staging, name), { recursive: true });
    if (withKeyFiles) await takeKeyFileAlong(manifest, data, staging);
    await rename(staging, out);
    return made;
  });
}

/** One that lies elsewhere comes into the backup, which then says that it is there. */
async function takeKeyFileAlong(
  manifest: StateManifest,
  data: string,
  staging: string,
): Promise<void> {
  const file = keyFileOf(manifest, data);
  if (file === undefined || file === stateLayout(resolve(data)).keyFile) return;
  const layout = stateLayout(staging);
  await writeFileDurably(layout.keyFile, await readFile(file), { mode: 0o600 });
  const seal = { kind: 'key-file', path: keyFileName } as const;
  await writeFileDurably(layout.manifest, formatStateManifest({ ...manifest, seal }));
}

export interface RestoreOptions {
  /** A directory that {@link backUpState} made. */
  readonly from: string;
  /** The data directory to make; it must not be there. */
  readonly data: string;
  /** The configuration to go on with: it says where the ledger goes, which may be another kind of database. */
  readonly config: CaConfig;
  /** Its text, where it is another than that of the backup: kept as `ca.yaml` in the data directory. */
  readonly configText?: string | undefined;
  readonly secrets: SecretPlaces;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Restored {
  readonly records: number;
  readonly issued: number;
  readonly auditRows: number;
  /** Whether the backup has what opens the sealed keys. */
  readonly withKeyFiles: boolean;
}

/**
 * Makes a data directory of a backup, fills a ledger and proves it sound before the directory gets its name. The ledger
 * goes into a file, or an empty schema of a database, as the configuration says.
 *
 * @throws CountersignError ERR_STATE_EXISTS, ERR_STATE_MISSING, ERR_STATE_CONFIG, ERR_STATE_BACKUP, ERR_LEDGER_BACKUP,
 *   ERR_FILE, and those of the ledger
 */
export async function restoreState(options: RestoreOptions): Promise<Restored> {
  const { from, config, configText, secrets, clock, log } = options;
  const data = resolve(options.data);
  // Before anything is made: files that do not fit together, or another configuration than of this hierarchy, start nowhere.
  if (configText !== undefined) await checkGivenConfig(config, from, log);
  const faults = await stateFaults(config, from);
  if (faults.length > 0) throw cannotStart(from, faults);
  await mustBeFree(data, 'restore');
  const staging = stagingFor(data, 'restore');
  return wholeOrNot(staging, 'restore to', data, async function restoreAll() {
    await prepareDirectory(staging, `restore to "${data}"`, { mode: 0o700 });
    await cp(from, staging, { recursive: true, filter: (path) => basename(path) !== ledgerName });
    const layout = stateLayout(staging);
    const { ledger, state } = await openNewLedger({
      config: config.ledger,
      file: layout.ledger,
      secrets,
      clock,
      log,
    });
    try {
      const { audit, trail } = await restoreLedger(join(from, ledgerName), ledger);
      const { root, intermediates } = await readStateCertificates(staging);
      await proveLedgerKnows(ledger, [root, ...intermediates.values()]);
      const { ledger: _, ...manifest } = JSON.parse(await readFile(layout.manifest, 'utf8'));
      const now = state === undefined ? manifest : { ...manifest, ledger: state };
      await writeFileDurably(layout.manifest, `${JSON.stringify(now, undefined, 2)}\n`);
      if (configText !== undefined) await writeFileDurably(layout.config, configText);
      await ledger.close();
      await rename(staging, data);
      const { records, issued } = audit;
      const withKeyFiles = (await readdir(data)).some((name) => keyFiles.test(name));
      return { records, issued, auditRows: trail.rows, withKeyFiles };
    } catch (thrown) {
      const { postgres } = config.ledger;
      throw postgres === undefined ? thrown : leftBehind(thrown, postgres.schema);
    } finally {
      await ledger.close();
    }
  });
}

/** A file goes with the directory; what a database holds is for its owner to drop, who may have let nobody else do so. */
function leftBehind(thrown: unknown, schema: string): CountersignError {
  const known = thrown instanceof CountersignError ? thrown : undefined;
  return new CountersignError(known?.code ?? 'ERR_FILE', `restore: ${messageOf(thrown)}`, {
    fields: { ...known?.fields, schema },
    hint: `schema "${schema}" holds what was restored so far: DROP SCHEMA "${schema}" CASCADE before another try`,
    cause: thrown,
  });
}

/** That another hierarchy was given is the mistake of who gave it; what cannot be read is found with the rest. */
async function checkGivenConfig(config: CaConfig, from: string, log: Log): Promise<void> {
  const manifest = await readStateManifest(from);
  const made = await readMadeCertificates(stateLayout(from), manifest).catch(() => undefined);
  if (made !== undefined) checkStateConfig(config, manifest, made, log);
}

function cannotStart(from: string, faults: readonly string[]): CountersignError {
  const message = `restore "${from}": an authority on it cannot start: ${faults.join('; ')}`;
  return new CountersignError('ERR_STATE_BACKUP', message, { fields: { faults } });
}

async function mustBeFree(path: string, what: string): Promise<void> {
  const found = await readdir(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return undefined;
    throw new CountersignError('ERR_FILE', `${what} to "${path}": ${thrown.message}`, {
      cause: thrown,
    });
  });
  if (found === undefined) return;
  throw new CountersignError('ERR_STATE_EXISTS', `${what} to "${path}": it is there already`);
}

function stagingFor(path: string, what: string): string {
  return join(dirname(path), `.${basename(path)}.${what}-${randomBytes(6).toString('hex')}`);
}

async function wholeOrNot<T>(
  staging: string,
  what: string,
  path: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    await rm(staging, { recursive: true, force: true });
    if (thrown instanceof CountersignError) throw thrown;
    const message = `${what} "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_FILE', message, { cause: thrown });
  }
}
