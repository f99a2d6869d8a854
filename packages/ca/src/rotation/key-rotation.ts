import { type Clock, type Denial, type Log, messageOf } from '@countersign/base';
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
import type { RotationDocument } from './rotation-document.ts';
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

/** How often a process looks for what another one changed. */
const followMs = 1000;

/** Replacing keys of the hierarchy, step by step; each step is a story in a file of its own. One at a time. */
export class KeyRotation {
  readonly #options: KeyRotationOptions;
  #config: CaConfig;
  #takeUp: (hierarchy: HierarchyInForce) => void = () => {};
  #inForce: number;
  #failure: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: KeyRotationOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#inForce = options.keeper.version;
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
    while (!signal.aborted) {
      await clock.sleep(followMs, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.followOnce();
        this.#failure = undefined;
      } catch (thrown) {
        const reason = `hierarchy of the ledger is not in force here: ${messageOf(thrown)}`;
        if (this.#failure !== reason) log.error({ err: thrown }, reason);
        this.#failure = reason;
      }
    }
  }

  async followOnce(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#options.keeper.follow();
      await this.#putInForce();
    });
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
    };
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(step, step);
    this.#last = mine.catch(() => {});
    return mine;
  }
}
