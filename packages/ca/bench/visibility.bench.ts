import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { postgresServer } from '@countersign/testkit';
import type { Ledger } from '../src/index.ts';
import { openPostgresLedger } from '../src/ledger/postgres/postgres-ledger.ts';
import { volatileListState } from '../src/publish/list-state.ts';
import { defaultCrl } from '../src/publish/publish-config.ts';
import { PublishMetrics } from '../src/publish/publish-metrics.ts';
import { RevocationLists } from '../src/publish/revocation-lists.ts';
import { RevokedIndex } from '../src/publish/revoked-index.ts';
import { benchIssuer, orderMany } from './revocation.bench.ts';

/** From the answer to whoever revoked, in milliseconds; the slowest of all. */
export interface SeenMs {
  /** A reader of the feed is woken, and finds the record. */
  readonly feed: number;
  /** The index that OCSP answers from has it. */
  readonly ocsp: number;
  readonly crl: number;
}

export interface VisibilityFigures {
  readonly revocations: number;
  /** On the replica that took it, and on another one over the same database. */
  readonly here: SeenMs;
  readonly there: SeenMs;
}

/** How soon a revocation is seen, with two replicas over PostgreSQL; or why there is none here. */
export async function measureVisibility(
  revocations = 10,
): Promise<VisibilityFigures | { readonly skip: string }> {
  const server = await postgresServer({ durable: true });
  if ('skip' in server) return server;
  const open = async (): Promise<Replica> => {
    const url = () => new Secret(server.url);
    const parts = { clock: systemClock, log: noLog };
    return Replica.over(await openPostgresLedger({ url, create: true, schema: 'bench', ...parts }));
  };
  try {
    const here = await open();
    const there = await open();
    const serials = await orderMany(here.ledger, revocations, 'bench');
    const seen: { readonly here: SeenMs; readonly there: SeenMs }[] = [];
    for (const [index, value] of serials.entries()) {
      const both = [here, there].map((replica) => replica.follow(index + 1));
      await here.ledger.revoke({
        ...{ by: 'serial', value, reason: 'superseded', orderedBy: 'operator' },
      });
      const answered = systemClock.monotonic();
      const [first, second] = await Promise.all(both.map((sees) => sees(answered)));
      if (first !== undefined && second !== undefined) seen.push({ here: first, there: second });
    }
    await here.close();
    await there.close();
    return {
      revocations,
      here: slowest(seen.map((each) => each.here)),
      there: slowest(seen.map((each) => each.there)),
    };
  } finally {
    await server.close();
  }
}

class Replica {
  readonly ledger: Ledger;
  readonly #index: RevokedIndex;
  readonly #lists: RevocationLists;

  private constructor(ledger: Ledger, index: RevokedIndex, lists: RevocationLists) {
    this.ledger = ledger;
    this.#index = index;
    this.#lists = lists;
  }

  static async over(ledger: Ledger): Promise<Replica> {
    const parts = { clock: systemClock, log: noLog };
    const lists = await RevocationLists.open({
      issuers: [await benchIssuer()],
      crl: defaultCrl,
      url: 'http://pki.example.com',
      longestMs: 86_400_000,
      states: volatileListState(),
      takeNumber: async (_path, wanted) => wanted,
      metrics: new PublishMetrics(noMeter),
      ...parts,
    });
    const index = new RevokedIndex({ ledger, onRevoked: lists.add.bind(lists), ...parts });
    lists.keep(index);
    await index.loaded;
    await lists.current('services', undefined, index);
    return new Replica(ledger, index, lists);
  }

  /** Watches for the revocation that makes so many of them. */
  follow(count: number): (since: number) => Promise<SeenMs> {
    const woken = Promise.withResolvers<number>();
    const stop = this.ledger.onCommit(async () => {
      const records = await this.ledger.revocationsAfter(0, 1000);
      if (records.length >= count) woken.resolve(systemClock.monotonic());
    });
    const ocsp = this.#once(() => this.#index.size >= count);
    const crl = this.#once(() => ([...this.#lists.all()][0]?.list.entries ?? 0) >= count);
    return async (since) => {
      const [feed, index, list] = await Promise.all([woken.promise, ocsp, crl]);
      stop();
      const after = (at: number) => Math.max(0, at - since);
      return { feed: after(feed), ocsp: after(index), crl: after(list) };
    };
  }

  async close(): Promise<void> {
    await this.#lists.stop();
    await this.#index.stop();
    await this.ledger.close();
  }

  async #once(is: () => boolean): Promise<number> {
    while (!is()) await systemClock.sleep(1);
    return systemClock.monotonic();
  }
}

function slowest(all: readonly SeenMs[]): SeenMs {
  const of = (name: keyof SeenMs) => Math.max(...all.map((each) => each[name]));
  return { feed: of('feed'), ocsp: of('ocsp'), crl: of('crl') };
}
