import {
  type Clock,
  type Denial,
  denial,
  formatDuration,
  type Log,
  messageOf,
} from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { DocumentChange } from '../ledger/rotation-records.ts';
import type { KeyStores } from '../signers/key-stores.ts';
import { type ActivateOrder, activateRotation } from './activate-rotation.ts';
import {
  type GenerationKeys,
  type HierarchyInForce,
  hierarchyInForce,
} from './hierarchy-in-force.ts';
import { isRotating } from './hierarchy-view.ts';
import { type PrepareOrder, prepareRotation, type StepResult } from './prepare-rotation.ts';
import { type EndOrder, retireRotation } from './retire-rotation.ts';
import { type RollBackOrder, rollBackRotation } from './roll-back-rotation.ts';
import type { RotationContext } from './rotation-context.ts';
import { ledgerNameOf, type RotationDocument } from './rotation-document.ts';
import type { RotationKeeper } from './rotation-keeper.ts';
import { type RotationReport, showRotation } from './show-rotation.ts';

export interface KeyRotationOptions {
  readonly keeper: RotationKeeper;
  readonly keys: GenerationKeys;
  readonly stores: KeyStores;
  readonly config: CaConfig;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A process that has not found what is in force here to be the newest for so long issues nothing more: it may be that a
 * key was replaced, and retired. `retire` waits for longer than that.
 */
const staleAfterMs = 15_000;
const retireAfterMs = 20_000;

/** How often a process looks for what another one changed. */
const followMs = 1000;

/** Replacing keys of the hierarchy, step by step; each step is a story in a file of its own. One at a time. */
export class KeyRotation {
  readonly #options: KeyRotationOptions;
  #config: CaConfig;
  #takeUp: (hierarchy: HierarchyInForce) => void = () => {};
  #inForce: number;
  #failure: string | undefined;
  /** Whether this process looks for what others change, and when it last was up to date. */
  #isFollowing = false;
  #freshAt: number;
  #last: Promise<unknown> = Promise.resolve();
  /** Steps of this process that wait or are under way. */
  #steps = 0;

  constructor(options: KeyRotationOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#inForce = options.keeper.version;
    this.#freshAt = options.clock.monotonic();
  }

  /**
   * Why nothing may be issued under a key, by its name in the ledger: it was retired, or this process cannot tell.
   *
   * Denials: ERR_ROTATION_BEHIND.
   */
  haltOf(ledgerName: string): Denial | undefined {
    const { generations } = this.document;
    const found = generations.find((each) => ledgerNameOf(each) === ledgerName);
    if (found?.phase === 'retired' || found?.phase === 'dropped') {
      const message = `issue under "${ledgerName}": it was ${found.phase}, and what replaces it is not in force here`;
      return denial('ERR_ROTATION_BEHIND', message, { issuer: ledgerName });
    }
    const staleMs = this.#options.clock.monotonic() - this.#freshAt;
    if (!this.#isFollowing || staleMs < staleAfterMs) return undefined;
    const reason = this.#failure ?? 'the hierarchy of the ledger was not read';
    const message = `issue under "${ledgerName}": not up to date for ${formatDuration(Math.round(staleMs / 1000) * 1000)}: ${reason}`;
    return denial('ERR_ROTATION_BEHIND', message, { issuer: ledgerName });
  }

  /**
   * As {@link haltOf}, of whoever has waited for the ledger: what this process could not tell is looked up before.
   *
   * Denials: ERR_ROTATION_BEHIND.
   */
  async overtakenOf(ledgerName: string): Promise<Denial | undefined> {
    if (this.haltOf(ledgerName) === undefined) return undefined;
    // What it says of a failure, the next turn says again.
    await this.followOnce().catch(() => {});
    return this.haltOf(ledgerName);
  }

  /** Whether any key is between two generations: then it matters who holds which trust bundle. */
  get isUnderWay(): boolean {
    return isRotating(this.#options.keeper.document);
  }

  /** Why what another process changed is not in force here. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get document(): RotationDocument {
    return this.#options.keeper.document;
  }

  hierarchy(): Promise<HierarchyInForce> {
    return hierarchyInForce(this.document, this.#config, this.#options.keys);
  }

  /** Told of each change, with what is in force from then on. */
  onChange(takeUp: (hierarchy: HierarchyInForce) => void): void {
    this.#takeUp = takeUp;
  }

  reconfigure(config: CaConfig): void {
    this.#config = config;
  }

  show(name: string): Promise<RotationReport> {
    return this.#inTurn(() => showRotation(name, this.#context()));
  }

  /** Denials: ERR_ROTATION_STEP, ERR_ROTATION_OFFLINE, ERR_CEREMONY_*. */
  prepare(name: string, order: PrepareOrder): Promise<StepResult> {
    return this.#inTurn(() => prepareRotation(name, order, this.#context()));
  }

  /** Denials: ERR_ROTATION_STEP, ERR_ROTATION_UPTAKE. */
  activate(name: string, order: ActivateOrder): Promise<StepResult> {
    return this.#inTurn(() => activateRotation(name, order, this.#context()));
  }

  /** Denials: ERR_ROTATION_STEP, ERR_ROTATION_LIVE. */
  retire(name: string, order: EndOrder): Promise<StepResult | Denial> {
    return this.#inTurn(() => retireRotation(name, order, this.#context()));
  }

  /** Denials: ERR_ROTATION_STEP, ERR_ROTATION_LIVE. */
  rollBack(name: string, order: RollBackOrder): Promise<StepResult | Denial> {
    return this.#inTurn(() => rollBackRotation(name, order, this.#context()));
  }

  /** Takes up what other processes change, until the signal; never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    this.#freshAt = clock.monotonic();
    this.#isFollowing = true;
    while (!signal.aborted) {
      await clock.sleep(followMs, { signal, ref: false }).catch(() => {});
      if (signal.aborted) break;
      try {
        await this.followOnce();
        this.#failure = undefined;
      } catch (thrown) {
        const reason = `hierarchy of the ledger${this.#unknownKeys()} is not in force here: ${messageOf(thrown)}`;
        if (this.#failure !== reason) log.error({ err: thrown }, reason);
        this.#failure = reason;
      }
    }
    this.#isFollowing = false;
  }

  /** By name, what signs by now and not here. */
  #unknownKeys(): string {
    const { keeper } = this.#options;
    if (keeper.version === this.#inForce) return '';
    const active = keeper.document.generations.filter(({ phase }) => phase === 'active');
    return `, by which ${active.map((each) => `"${ledgerNameOf(each)}"`).join(', ')} sign,`;
  }

  async followOnce(): Promise<void> {
    // A step of this process may take long (a token makes a key, many certificates are read): nobody who issues waits.
    if (this.#steps > 0) {
      const asked = this.#options.clock.monotonic();
      if (await this.#isUpToDate()) this.#freshAt = asked;
      return;
    }
    await this.#inTurn(async () => {
      const asked = this.#options.clock.monotonic();
      await this.#options.keeper.follow();
      await this.#putInForce();
      this.#freshAt = asked;
    });
  }

  async #isUpToDate(): Promise<boolean> {
    const { keeper } = this.#options;
    return (await keeper.isNewest()) && keeper.version === this.#inForce;
  }

  async #commit(document: RotationDocument, said: DocumentChange['said']): Promise<void> {
    await this.#options.keeper.change(document, said);
    await this.#putInForce();
  }

  async #putInForce(): Promise<void> {
    const { version } = this.#options.keeper;
    if (version === this.#inForce) return;
    this.#takeUp(await this.hierarchy());
    this.#inForce = version;
  }

  #context(): RotationContext {
    const { keeper, keys, stores, ledger, clock, log } = this.#options;
    const config = this.#config;
    const isShared = config.ledger.postgres !== undefined;
    return {
      ...{ config, ledger, clock, log, stores, keys },
      signerOf: (generation) => keys.signerOf(generation, config),
      document: () => keeper.document,
      commit: (document, said) => this.#commit(document, said),
      settleMs: isShared ? 5 * followMs : followMs,
      retireAfterMs: isShared ? retireAfterMs : 0,
    };
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    this.#steps += 1;
    const mine = this.#last.then(step, step).finally(() => {
      this.#steps -= 1;
    });
    this.#last = mine.catch(() => {});
    return mine;
  }
}
