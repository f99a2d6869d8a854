import { type Clock, type Denial, type Log, noMeter } from '@countersign/base';
import type { Authority } from '../../authority.ts';
import { volatileListState } from '../../publish/list-state.ts';
import { type CrlConfig, defaultCrl } from '../../publish/publish-config.ts';
import { PublishMetrics } from '../../publish/publish-metrics.ts';
import type { PublishingIssuer } from '../../publish/publishing-issuer.ts';
import type { SignedList } from '../../publish/revocation-list.ts';
import { RevocationLists } from '../../publish/revocation-lists.ts';
import { RevokedIndex } from '../../publish/revoked-index.ts';

/** Of how many validities there are lists at once. */
const mostOpened = 16;

interface Opened {
  readonly lists: RevocationLists;
  readonly index: RevokedIndex;
  readonly known: Set<string>;
}

/** Revocation lists of mounts, made where somebody asks for one: the hierarchy's, and those of mounts of their own. */
export class Lists {
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #log: Log;
  /** By the validity of its lists. */
  readonly #opened = new Map<number, Promise<Opened>>();

  constructor(authority: Authority, clock: Clock, log: Log) {
    this.#authority = authority;
    this.#clock = clock;
    this.#log = log;
  }

  /** As of now, whole. Denials: ERR_PUBLISH_ISSUER, ERR_PUBLISH_ROOT_KEY, ERR_PUBLISH_LOADING. */
  async current(issuer: PublishingIssuer, validityMs?: number): Promise<SignedList | Denial> {
    const { lists, index, known } = await this.#openedFor(validityMs);
    if (!known.has(issuer.name)) {
      known.add(issuer.name);
      lists.takeUp([issuer]);
      // What was revoked before the issuer was known here was told to nobody.
      index.restart();
    }
    return await lists.current(issuer.name, undefined, index);
  }

  async close(): Promise<void> {
    for (const opening of this.#opened.values()) await stop(await opening);
    this.#opened.clear();
  }

  async #openedFor(validityMs: number | undefined): Promise<Opened> {
    const usual = this.#authority.config.publish?.crl ?? defaultCrl;
    const wanted = validityMs ?? usual.validityMs;
    const [oldest] = this.#opened.keys();
    if (!this.#opened.has(wanted) && this.#opened.size >= mostOpened && oldest !== undefined) {
      const over = this.#opened.get(oldest);
      this.#opened.delete(oldest);
      void over?.then(stop);
    }
    const opened = this.#opened.get(wanted) ?? this.#open(timesOf(usual, wanted));
    this.#opened.set(wanted, opened);
    return await opened;
  }

  async #open(crl: CrlConfig): Promise<Opened> {
    const authority = this.#authority;
    const { ledger } = authority;
    const lists = await RevocationLists.open({
      issuers: [],
      crl,
      url: authority.config.publish?.url ?? '',
      longestMs: authority.config.services.maxValidityMs,
      states: volatileListState(),
      async takeNumber(path, wanted, position) {
        const taken = await ledger.takeListNumber(path, { number: String(wanted), position });
        return taken === undefined ? undefined : BigInt(taken);
      },
      clock: this.#clock,
      log: this.#log,
      metrics: new PublishMetrics(noMeter),
    });
    const index = new RevokedIndex({
      ledger,
      clock: this.#clock,
      log: this.#log,
      onRevoked: (row) => lists.add(row),
      onRestart: () => lists.clear(),
    });
    return { lists, index, known: new Set() };
  }
}

function timesOf(usual: CrlConfig, validityMs: number): CrlConfig {
  if (validityMs === usual.validityMs) return usual;
  return { ...usual, validityMs, refreshMs: validityMs / 2 };
}

async function stop({ lists, index }: Opened): Promise<void> {
  await index.stop();
  await lists.stop();
}
