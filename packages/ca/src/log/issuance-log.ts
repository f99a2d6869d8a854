import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type Gauge,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import {
  type Checkpoint,
  formatNoteKey,
  type InclusionProof,
  inclusionRanges,
  type LogSource,
  type NoteKey,
  nodeReader,
  openCheckpoint,
  proofHashes,
  signCheckpoint,
  type TileName,
} from '@countersign/wire';
import type { Ledger } from '../ledger/ledger.ts';
import { Bell } from '../serve/bell.ts';
import { LeafIndex } from './leaf-index.ts';
import { checkpointPath, keyPath, type LogFiles, sourceOfFiles } from './log-files.ts';
import type { LogKey } from './log-key.ts';
import { LogTiles, type StoredTile } from './log-tiles.ts';
import { proveLedger } from './prove-ledger.ts';
import { restoreEdge } from './restore-edge.ts';

export interface IssuanceLogOptions {
  readonly ledger: Ledger;
  readonly files: LogFiles;
  readonly key: LogKey;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** How long certificates are gathered before a checkpoint is signed over them. Default 200. */
  readonly gatherMs?: number;
  /** How often to look for what other processes have issued over the same ledger. Default 700. */
  readonly pollMs?: number;
}

/** Where a log goes on from. */
interface Standing {
  readonly tiles: LogTiles;
  readonly position: number;
  readonly signed?: Checkpoint;
  /** Signed before, and to be led to again by the ledger before anything else is signed. */
  readonly owed?: Checkpoint;
}

const pageRecords = 1000;
const batchPages = 5;

/**
 * The Merkle log of everything that this authority has issued. The ledger is the source of truth: leaf `i` is the DER of
 * the certificate in the `i`-th issued record by position. Nothing waits for it: it reads the ledger behind the issuing
 * path, and signs a checkpoint over what it found.
 *
 * Durability. A checkpoint is signed only over certificates that are durable in the ledger, and given out only once it and
 * the tiles that it commits to are durable in files. Killed at any moment, the files hold the tiles of the last checkpoint
 * and perhaps some of the next, which are written again, the same. What is missing or damaged is made again from the
 * ledger, and taken only if it leads to the root that was signed. If it does not, the ledger and the log are of two
 * histories: nothing more is signed, since a log must never sign what contradicts a checkpoint of its own.
 */
export class IssuanceLog {
  readonly key: NoteKey;
  readonly #options: IssuanceLogOptions;
  readonly #entries: Gauge;
  readonly #index: LeafIndex;
  readonly #wakes = new Bell();
  readonly #signings = new Bell();
  readonly #closing = new AbortController();
  readonly #tiles: LogTiles;
  /** Everything in the ledger up to it is in the tiles. */
  #position: number;
  #signed: Checkpoint | undefined;
  /** Everything in the ledger up to it is under the signature. */
  #signedPosition: number;
  #owed: Checkpoint | undefined;
  /** Smaller trees are not signed: larger ones were before. */
  #leastSize = 0;
  #stopped: CountersignError | undefined;
  #failure: string | undefined;
  #turn: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;

  private constructor(options: IssuanceLogOptions, at: Standing) {
    this.#options = options;
    this.key = options.key.key;
    this.#index = new LeafIndex(options.ledger);
    this.#tiles = at.tiles;
    this.#position = at.position;
    this.#signed = at.signed;
    this.#signedPosition = at.signed === undefined ? 0 : at.position;
    this.#owed = at.owed;
    this.#entries = options.meter.gauge({
      name: 'countersign_log_entries',
      help: 'Certificates that the newest checkpoint of the issuance log commits to.',
    });
    this.#entries.set(at.signed?.size ?? 0);
  }

  /** Goes on from its files; what the ledger has beyond them follows once it is started. */
  static async open(options: IssuanceLogOptions): Promise<IssuanceLog> {
    const { files, key, ledger, log } = options;
    const nothing = { tiles: new LogTiles(files), position: 0 };
    const note = await files.read(checkpointPath);
    if (note === undefined) {
      await files.write(keyPath, `${formatNoteKey(key.key)}\n`);
      return new IssuanceLog(options, nothing);
    }
    const signed = openCheckpoint(new TextDecoder().decode(note), key.key);
    if (!signed.ok) {
      const stopped = new IssuanceLog(options, nothing);
      stopped.#stop(`in its own files, ${signed.detail}`);
      return stopped;
    }
    const source = sourceOfFiles(files, 'the log');
    const restored = await restoreEdge(source, signed, ledger);
    if (restored.ok) {
      const { edge, position } = restored;
      return new IssuanceLog(options, { tiles: new LogTiles(files, edge), position, signed });
    }
    const { wrong: reason } = restored;
    log.error({ reason, size: signed.size }, 'issuance log is damaged, it is made again');
    return new IssuanceLog(options, { ...nothing, owed: signed });
  }

  /** Follows the ledger from here on. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Something was issued. */
  wake(): void {
    this.#wakes.ring();
  }

  /** The newest checkpoint, a signed note; undefined before the first. */
  get note(): string | undefined {
    return this.#signed?.note;
  }

  /** Why nothing is signed any more, or why it failed the last time; undefined while all is well. */
  get unwell(): string | undefined {
    return this.#stopped?.message ?? this.#failure;
  }

  /** A tile that the newest checkpoint commits to. */
  async tile(name: TileName): Promise<StoredTile | undefined> {
    return this.#tiles.tile(name, this.#signed?.size ?? 0);
  }

  /** As it is served. @throws CountersignError ERR_LOG_MISSING before the first checkpoint */
  source(): LogSource {
    if (this.#signed !== undefined) return this.#tiles.source(this.#signed.size, this.#signed.note);
    throw new CountersignError('ERR_LOG_MISSING', 'the log has no checkpoint yet');
  }

  /**
   * Proof that the certificate is in the log, to the newest checkpoint; waits for the next one where it is not in yet.
   *
   * Denials: ERR_LEDGER_CERTIFICATE_UNKNOWN, ERR_LOG_PENDING (not within `waitMs`), ERR_LOG_STOPPED.
   */
  async proofOf(
    serialHex: string,
    waitMs = 3000,
  ): Promise<{ readonly ok: true; readonly proof: InclusionProof } | Denial> {
    const record = await this.#options.ledger.certificate(serialHex);
    if (record === undefined) {
      const detail = `certificate "${serialHex}" was never issued here`;
      return denial('ERR_LEDGER_CERTIFICATE_UNKNOWN', detail);
    }
    const head = await this.#reach(record.position, waitMs);
    if (!head.ok) return head;
    const { size, note } = head;
    const source = this.#tiles.source(size, note);
    const index = await this.#index.indexOf(record, source, size);
    const hashes = await proofHashes(inclusionRanges(index, size), nodeReader(source, size));
    return { ok: true, proof: { kind: 'inclusion', index, hashes, checkpoint: note } };
  }

  /** Signs over everything that the ledger has now. @throws CountersignError where that fails */
  flush(): Promise<void> {
    const turn = this.#turn.then(() => this.#sequence());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Signs over the rest, and ends. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await this.flush().catch((thrown: unknown) => this.#tellFailure(thrown));
  }

  async #run(): Promise<void> {
    const { clock, gatherMs = 200, pollMs = 700 } = this.#options;
    const { signal } = this.#closing;
    let pauseMs = 0;
    while (!signal.aborted && this.#stopped === undefined) {
      const { rings } = this.#wakes;
      try {
        await this.flush();
        pauseMs = 0;
      } catch (thrown) {
        this.#tellFailure(thrown);
        pauseMs = Math.min(30_000, Math.max(1000, pauseMs * 2));
      }
      await this.#wakes.wait(rings, pollMs, clock, signal);
      if (signal.aborted) return;
      await clock.sleep(gatherMs + pauseMs, { signal, ref: false }).catch(() => {});
    }
  }

  /** Batch after batch, until the ledger has no more. */
  async #sequence(): Promise<void> {
    const { files, key } = this.#options;
    await this.#settle();
    for (let isMore = true; isMore && this.#stopped === undefined; ) {
      // 1. what was committed since, in order
      isMore = await this.#readLedger();
      // 2. tiles that are full now: they never change again
      await this.#tiles.writeFull();
      const head = this.#tiles.head();
      if (this.#signed?.size === head.size || head.size < this.#leastSize) continue;
      const position = this.#position;
      // 3. the partial ones, then the checkpoint that commits to all: a crash before it leaves the last one true
      const removeOld = await this.#tiles.writePartials();
      const note = await signCheckpoint(head, key.key, (data) => key.signer.sign(data));
      await files.write(checkpointPath, note);
      // 4. given out from here on
      this.#signed = { ...head, origin: key.key.name, note };
      this.#signedPosition = position;
      this.#entries.set(head.size);
      this.#signings.ring();
      await removeOld();
    }
    this.#failure = undefined;
  }

  /** Where files were damaged: the ledger must lead to what was signed before anything is written over them. */
  async #settle(): Promise<void> {
    const { ledger, log } = this.#options;
    const owed = this.#owed;
    if (owed === undefined || this.#stopped !== undefined) return;
    const proved = await proveLedger(ledger, owed);
    if (!proved.ok) return this.#stop(`the ledger contradicts its checkpoint: ${proved.wrong}`);
    this.#owed = undefined;
    this.#leastSize = owed.size;
    log.warn({ size: owed.size }, 'the ledger leads to the root that the issuance log had signed');
  }

  /** Some pages of the ledger into the tiles. Answers whether there may be more. */
  async #readLedger(): Promise<boolean> {
    for (let page = 0; page < batchPages; page += 1) {
      const issued = await this.#options.ledger.certificatesAfter(this.#position, pageRecords);
      for (const { position, der } of issued) {
        this.#tiles.append(der);
        this.#position = position;
      }
      if (issued.length < pageRecords) return false;
    }
    return true;
  }

  /** The newest checkpoint that commits to everything up to a position. */
  async #reach(
    position: number,
    waitMs: number,
  ): Promise<({ readonly ok: true } & Checkpoint) | Denial> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    const deadline = clock.monotonic() + waitMs;
    for (;;) {
      const { rings } = this.#signings;
      const signed = this.#signed;
      if (signed !== undefined && this.#signedPosition >= position) return { ok: true, ...signed };
      if (this.#stopped !== undefined) return denial('ERR_LOG_STOPPED', this.#stopped.message);
      const leftMs = deadline - clock.monotonic();
      if (leftMs <= 0 || signal.aborted) {
        const sides = `is at ledger position ${position}, the log has signed up to ${this.#signedPosition}`;
        return denial('ERR_LOG_PENDING', `the certificate ${sides}`, { position });
      }
      this.wake();
      // A command that waits has nothing else that keeps its process alive.
      const alive = new AbortController();
      clock.sleep(leftMs, { signal: alive.signal }).catch(() => {});
      await this.#signings.wait(rings, leftMs, clock, signal);
      alive.abort();
    }
  }

  #stop(reason: string): void {
    const message = `issuance log "${this.key.name}" is stopped: ${reason}`;
    this.#stopped = new CountersignError('ERR_LOG_STOPPED', message);
    this.#options.log.error({ log: this.key.name, reason }, 'issuance log is stopped');
    this.#signings.ring();
  }

  #tellFailure(thrown: unknown): void {
    const reason = messageOf(thrown);
    if (reason !== this.#failure) {
      this.#options.log.error({ log: this.key.name, reason }, 'issuance log could not be signed');
    }
    this.#failure = reason;
  }
}
