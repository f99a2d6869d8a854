import { CountersignError, type Log, messageOf } from '@countersign/base';
import { longerThanAsked } from '@countersign/identity';
import { sameAuthorities, type TrustBundle } from '@countersign/spiffe';
import type { KeptCertificate } from './kept-certificate.ts';
import {
  checkOutputs,
  type Obtained,
  type OnDisk,
  readFolder,
  readOutcome,
  staleOutputs,
  writeOutcome,
  writeOutputs,
} from './kept-folder.ts';
import { type KeptSource, type SourceTools, sourceOf } from './kept-source.ts';
import { wrongUnder, wrongWith } from './order-certificate.ts';
import { probeConsumer } from './probe-consumer.ts';
import { runCommand } from './run-command.ts';

export type KeepTools = SourceTools;

/** What a look at one entry came to. */
export interface KeptReport {
  readonly name: string;
  readonly did: 'nothing' | 'ordered' | 'written';
  /** Why. */
  readonly reason: string | undefined;
  readonly serial: string | undefined;
  readonly notAfter: number | undefined;
  readonly renewAt: number | undefined;
  /** Where it holds for longer than the entry asks for: both. */
  readonly longer: string | undefined;
  /** Undefined where there is no command, or it had nothing to do. */
  readonly command: 'done' | undefined;
  /** Undefined where there is no probe. */
  readonly probe: 'proved' | undefined;
  readonly failure: CountersignError | undefined;
}

const atOnce = 8;

/**
 * Looks at every entry once, and brings what wants it up to date. A failure of one takes nothing from the others, and
 * nothing from what it has.
 */
export async function keepPass(
  certificates: readonly KeptCertificate[],
  tools: KeepTools,
): Promise<readonly KeptReport[]> {
  // 1. certificates and files
  const looked = await inTurns(certificates, (kept) => bringUpToDate(kept, tools));
  // 2. commands: one that several entries have runs once, when all their files are in place
  await runCommands(looked, tools);
  // 3. proofs
  await Promise.all(looked.map((look) => proveServed(look, tools)));
  return looked.map(reportOf);
}

interface Look {
  readonly kept: KeptCertificate;
  did: KeptReport['did'];
  reason: string | undefined;
  certificate: Obtained | undefined;
  isCommandDone: boolean;
  isProved: boolean;
  ranCommand: boolean;
  failure: CountersignError | undefined;
}

async function bringUpToDate(kept: KeptCertificate, tools: KeepTools): Promise<Look> {
  const { clock, log } = tools;
  const look: Look = {
    ...{ kept, did: 'nothing', reason: undefined, certificate: undefined },
    ...{ isCommandDone: false, isProved: false, ranCommand: false, failure: undefined },
  };
  try {
    const source = sourceOf(kept, tools);
    const onDisk = await readFolder(kept, source.trustDomain);
    look.certificate = onDisk;
    const bundle = await source.bundle();
    const order = await reasonToOrder(kept, onDisk, { source, bundle, now: clock.now() });
    if (order !== undefined) {
      look.reason = order;
      await checkOutputs(kept);
      const ordered = await source.order(onDisk);
      const fresh = { ...ordered, obtainedAt: clock.now() };
      await writeOutputs(kept, fresh, clock.now());
      Object.assign(look, { did: 'ordered', certificate: fresh });
      const told = { certificate: kept.name, serial: fresh.chain[0].serialHex };
      log.info({ ...told, reason: order }, 'renewed');
      const longer = longerThanAsked(fresh.chain[0], kept.ttlMs);
      if (longer !== undefined) log.warn(told, `certificate of "${kept.name}": ${longer}`);
    } else if (onDisk !== undefined) {
      const write = await reasonToWrite(kept, onDisk, bundle);
      if (write !== undefined) {
        look.reason = write;
        await writeOutputs(kept, { ...onDisk, bundle: bundle ?? onDisk.bundle }, clock.now());
        look.did = 'written';
        log.info({ certificate: kept.name, reason: write }, 'files written again');
      }
    }
    await recall(look);
  } catch (thrown) {
    fail(look, thrown, log);
  }
  return look;
}

async function reasonToOrder(
  kept: KeptCertificate,
  onDisk: OnDisk | undefined,
  {
    source,
    bundle,
    now,
  }: {
    readonly source: KeptSource;
    readonly bundle: TrustBundle | undefined;
    readonly now: number;
  },
): Promise<string | undefined> {
  if (onDisk === undefined) return 'there is none';
  const wrong = wrongWith(kept, onDisk, source.ownNames);
  if (wrong !== undefined) return wrong;
  // A root that was retired takes with it what it vouched for.
  const at = Math.min(now, onDisk.chain[0].notAfter);
  const refused = bundle === undefined ? undefined : wrongUnder(bundle, onDisk, at);
  if (refused !== undefined) return `under the trust bundle of now: ${refused}`;
  if (now >= renewalOf(kept, onDisk)) {
    return `it ends at ${new Date(onDisk.chain[0].notAfter).toISOString()}`;
  }
  const wished = await source.wishedAt(onDisk);
  if (wished === undefined || now < wished) return undefined;
  return 'its issuer wishes that it be renewed';
}

async function reasonToWrite(
  kept: KeptCertificate,
  onDisk: OnDisk,
  bundle: TrustBundle | undefined,
): Promise<string | undefined> {
  if (bundle !== undefined && !sameAuthorities(bundle, onDisk.bundle)) {
    return 'the trust bundle has changed';
  }
  const [stale] = await staleOutputs(kept, onDisk);
  return stale === undefined ? undefined : `"${stale.path}" is not as it was written`;
}

/**
 * When it is to be renewed: earlier by up to a tenth of the time before its end, by its serial, so that what was issued
 * together is not renewed together. At the earliest at half of its lifetime, which an authority may have cut short.
 */
export function renewalOf(kept: KeptCertificate, { chain, obtainedAt }: Obtained): number {
  const [leaf] = chain;
  const lifetimeMs = Math.max(0, leaf.notAfter - obtainedAt);
  const beforeMs = Math.min(
    kept.renewBeforeMs ?? lifetimeMs * kept.renewBeforeShare,
    lifetimeMs / 2,
  );
  const share = Number.parseInt(leaf.serialHex.slice(-8), 16) / 2 ** 32;
  const earlierMs = Math.min(beforeMs / 10, lifetimeMs / 2 - beforeMs) * share;
  return leaf.notAfter - beforeMs - earlierMs;
}

/** What of this certificate was done before, by this process or another one. */
async function recall(look: Look): Promise<void> {
  if (look.did !== 'nothing') return;
  const before = await readOutcome(look.kept.folder);
  if (before?.serial !== look.certificate?.chain[0].serialHex) return;
  look.isCommandDone = before?.isCommandDone ?? false;
  look.isProved = before?.isProved ?? false;
}

async function runCommands(looked: readonly Look[], tools: KeepTools): Promise<void> {
  const due = new Map<string, Look[]>();
  for (const look of looked) {
    const { command } = look.kept;
    if (look.failure !== undefined || look.certificate === undefined) continue;
    // Where the consumer was not proved to serve it, it is told again.
    const isUnproved = look.kept.probe !== undefined && !look.isProved;
    if (command === undefined || (look.isCommandDone && !isUnproved)) {
      await remember(look, { isCommandDone: true });
      continue;
    }
    const key = JSON.stringify(command);
    due.set(key, [...(due.get(key) ?? []), look]);
  }
  for (const looks of due.values()) {
    const [first] = looks;
    if (first?.kept.command === undefined) continue;
    const { command, commandTimeoutMs: timeoutMs } = first.kept;
    const names = looks.map(({ kept }) => kept.name);
    try {
      await runCommand({ command, timeoutMs, names }, tools.cli, tools.log);
      for (const look of looks) {
        look.ranCommand = true;
        await remember(look, { isCommandDone: true });
      }
    } catch (thrown) {
      for (const look of looks) fail(look, thrown, tools.log);
    }
  }
}

async function proveServed(look: Look, { clock, signal, log }: KeepTools): Promise<void> {
  const { kept, certificate } = look;
  if (kept.probe === undefined || look.isProved) return;
  if (look.failure !== undefined || certificate === undefined) return;
  try {
    await probeConsumer(kept.probe, certificate, { clock, signal });
    await remember(look, { isProved: true });
    log.info({ certificate: kept.name }, 'its consumer serves the certificate');
  } catch (thrown) {
    await remember(look, { isProved: false }).catch(() => {});
    fail(look, thrown, log);
  }
}

async function remember(
  look: Look,
  news: { readonly isCommandDone?: boolean; readonly isProved?: boolean },
): Promise<void> {
  const isNews =
    look.did !== 'nothing' ||
    (news.isCommandDone ?? look.isCommandDone) !== look.isCommandDone ||
    (news.isProved ?? look.isProved) !== look.isProved;
  Object.assign(look, news);
  const serial = look.certificate?.chain[0].serialHex;
  if (!isNews || serial === undefined) return;
  const { isCommandDone, isProved } = look;
  await writeOutcome(look.kept.folder, { serial, isCommandDone, isProved });
}

function fail(look: Look, thrown: unknown, log: Log): void {
  look.failure =
    thrown instanceof CountersignError
      ? thrown
      : new CountersignError('ERR_KEEP_FILES', `keep "${look.kept.name}": ${messageOf(thrown)}`, {
          cause: thrown,
        });
  const { code, fields, message } = look.failure;
  log.error({ ...fields, certificate: look.kept.name, code }, message);
}

function reportOf(look: Look): KeptReport {
  const { kept, did, reason, certificate, failure } = look;
  const leaf = certificate?.chain[0];
  return {
    ...{ name: kept.name, did, reason },
    serial: leaf?.serialHex,
    notAfter: leaf?.notAfter,
    renewAt: certificate === undefined ? undefined : renewalOf(kept, certificate),
    longer: leaf === undefined ? undefined : longerThanAsked(leaf, kept.ttlMs),
    command: look.ranCommand ? 'done' : undefined,
    probe: look.isProved ? 'proved' : undefined,
    failure,
  };
}

async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const left = items.entries();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const [index, item] of left) results[index] = await work(item);
    }),
  );
  return results;
}
