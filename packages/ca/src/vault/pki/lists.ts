import { type Clock, type Denial, type Log, noMeter } from '@countersign/base';
import type { Authority } from '../../authority.ts';
import { volatileListState } from '../../publish/list-state.ts';
import { defaultCrl } from '../../publish/publish-config.ts';
import { PublishMetrics } from '../../publish/publish-metrics.ts';
import type { PublishingIssuer } from '../../publish/publishing-issuer.ts';
import type { SignedList } from '../../publish/revocation-list.ts';
import { RevocationLists } from '../../publish/revocation-lists.ts';
import { RevokedIndex } from '../../publish/revoked-index.ts';

interface Opened {
  readonly lists: RevocationLists;
  readonly index: RevokedIndex;
}

/** Revocation lists of mounts, made where somebody asks for one: the hierarchy's, and those of mounts of their own. */
export class Lists {
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #log: Log;
  #opened: Promise<Opened> | undefined;
  readonly #known = new Set<string>();

  constructor(authority: Authority, clock: Clock, log: Log) {
    this.#authority = authority;
    this.#clock = clock;
    this.#log = log;
  }

  /** As of now, whole. Denials: ERR_PUBLISH_ISSUER, ERR_PUBLISH_ROOT_KEY, ERR_PUBLISH_LOADING. */
  async current(issuer: PublishingIssuer): Promise<SignedList | Denial> {
    this.#opened ??= this.#open();
    const { lists, index } = await this.#opened;
    const isNew = !this.#known.has(issuer.name);
    if (isNew) {
      this.#known.add(issuer.name);
      lists.takeUp([issuer]);
      // What was revoked before the issuer was known here was told to nobody.
      index.restart();
    }
    await index.loaded;
    return await lists.current(issuer.name, undefined, index);
  }

  async close(): Promise<void> {
    const opened = await this.#opened;
    await opened?.index.stop();
    await opened?.lists.stop();
  }

  async #open(): Promise<Opened> {
    const authority = this.#authority;
    const { ledger } = authority;
    const lists = await RevocationLists.open({
      issuers: [],
      crl: authority.config.publish?.crl ?? defaultCrl,
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
    return { lists, index };
  }
}
