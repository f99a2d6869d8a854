import { type Clock, type Denial, type Log, type Meter, messageOf } from '@countersign/base';
import type { KeyStore } from './key-store.ts';
import type { KeyStores } from './key-stores.ts';

export interface KeyStoreWatch {
  /** What is wrong with a store now, or undefined while all are well. */
  finding(): Denial | undefined;
  /** Each store that is asked. */
  report(): readonly { readonly store: string; readonly finding?: string }[];
  stop(): void;
}

export interface KeyStoreWatchOptions {
  readonly stores: Pick<KeyStores, 'remote' | 'onFailure'>;
  /** Default 10 s. */
  readonly everyMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/**
 * Asks the stores every few seconds whether they could sign: a token that is lost is known before somebody needs it,
 * and one that is back is logged in to before somebody waits for it. One that fails is asked at once.
 */
export function watchKeyStores(options: KeyStoreWatchOptions): KeyStoreWatch {
  const { clock, log, everyMs = 10_000 } = options;
  const stores = options.stores.remote;
  const up = options.meter.gauge({
    name: 'countersign_signer_up',
    help: 'Whether a token or key service of the authority could sign when it was last asked.',
    labels: ['store'],
  });
  const findings = new Map<KeyStore, Denial>();
  const asking = new Map<KeyStore, Promise<void>>();
  const ending = new AbortController();
  for (const store of stores) up.set(1, { store: store.title });
  options.stores.onFailure((store) => void ask(store));
  if (stores.length > 0) void watch();
  return {
    finding: () => findings.values().next().value,
    report: () =>
      stores.map((store) => {
        const finding = findings.get(store)?.detail;
        return { store: store.title, ...(finding !== undefined && { finding }) };
      }),
    stop: () => ending.abort(),
  };

  async function watch(): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        await clock.sleep(everyMs, { signal: ending.signal, ref: false });
      } catch {
        // stopped while it slept
        return;
      }
      await Promise.all(stores.map(ask));
    }
  }

  function ask(store: KeyStore): Promise<void> {
    const known = asking.get(store);
    if (known !== undefined || ending.signal.aborted) return known ?? Promise.resolve();
    const asked = askOnce(store).finally(() => asking.delete(store));
    asking.set(store, asked);
    return asked;
  }

  async function askOnce(store: KeyStore): Promise<void> {
    try {
      const health = await store.health();
      if (health.ok) tellWell(store);
      else tellUnwell(store, health);
    } catch (thrown) {
      log.error({ store: store.title, reason: messageOf(thrown) }, 'store of keys not asked');
    }
  }

  function tellWell(store: KeyStore): void {
    up.set(1, { store: store.title });
    if (findings.delete(store)) log.info({ store: store.title }, 'store of keys is well again');
  }

  function tellUnwell(store: KeyStore, finding: Denial): void {
    up.set(0, { store: store.title });
    const isNew = findings.get(store)?.code !== finding.code;
    findings.set(store, finding);
    if (!isNew || ending.signal.aborted) return;
    const { code, detail } = finding;
    log.error({ store: store.title, code, detail }, 'store of keys cannot sign');
  }
}
