import type { Clock, Denial, Log, Meter } from '@countersign/base';
import { denial, errorOfDenial } from '@countersign/base';
import type { Authority } from '../authority.ts';
import { configNameOf } from '../rotation/rotation-document.ts';
import { stateLayout } from '../state-layout.ts';
import { followImported } from './follow-imported.ts';
import { importedLists } from './imported-list.ts';
import { type ListStateStore, listStateFile, volatileListState } from './list-state.ts';
import { OcspDesk } from './ocsp/ocsp-desk.ts';
import { type CrlConfig, defaultCrl } from './publish-config.ts';
import { PublishMetrics } from './publish-metrics.ts';
import { PublishedDocuments } from './published-documents.ts';
import { publishedPath, slugOf } from './published-paths.ts';
import { type PublishingServer, startPublishingServer } from './publishing-server.ts';
import type { SignedList } from './revocation-list.ts';
import { RevocationLists } from './revocation-lists.ts';
import { RevokedIndex } from './revoked-index.ts';

export interface PublishingOptions {
  readonly authority: Authority;
  /** Where numbers of lists are kept; in memory alone unless given. */
  readonly states?: ListStateStore | undefined;
  /** Instead of `publish.port`; 0 takes any free one. */
  readonly port?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Open connections. Default 4096. */
  readonly maxConnections?: number | undefined;
}

export interface Publishing {
  /** `http://<address>:<port>`, where it listens. */
  readonly url: string;
  /**
   * An issuer's list as of now, or one part of it.
   *
   * Denials: ERR_PUBLISH_ISSUER, ERR_PUBLISH_ROOT_KEY, ERR_PUBLISH_LOADING, ERR_PUBLISH_OFF.
   */
  list(issuer: string, shard?: number): Promise<SignedList | Denial>;
  /** Every list that is kept, as it is now. */
  lists(): readonly { readonly issuer: string; readonly path: string; readonly list: SignedList }[];
  /** A list was imported here. */
  takeUpImported(): Promise<void>;
  /** Why relying parties cannot find out; undefined while they can. */
  unwell(): string | undefined;
  close(drainMs: number): Promise<void>;
}

/**
 * Publishes what ca.yaml says under `publish`; undefined where it says nothing. It reads the ledger and is never waited
 * for by who revokes.
 *
 * @throws CountersignError ERR_LISTEN, ERR_STATE_BROKEN
 */
export async function startPublishing(options: PublishingOptions): Promise<Publishing | undefined> {
  const { authority, clock, log } = options;
  const { publish: config } = authority.config;
  if (config === undefined) return undefined;
  const issuers = authority.publishers();
  const metrics = new PublishMetrics(options.meter);

  // 1. the numbers that lists have had
  const lists =
    config.crl === undefined ? undefined : await openLists(options, config.crl, metrics);

  // 2. what is revoked, from the ledger's beginning and as it is committed
  let ocsp: OcspDesk | undefined;
  const index = new RevokedIndex({
    ledger: authority.ledger,
    clock,
    log,
    onRevoked(row) {
      lists?.add(row);
      ocsp?.forget(row.intent);
    },
    onRestart() {
      lists?.clear();
      ocsp?.clear();
    },
  });
  if (config.ocsp !== undefined) {
    const { ledger } = authority;
    ocsp = new OcspDesk({ issuers, ledger, index, config: config.ocsp, clock, log, metrics });
  }
  const imports = followImported({ authority, clock, log });
  const stop = async (): Promise<void> => {
    imports.stop();
    await lists?.stop();
    await index.stop();
  };

  // 3. plain HTTP; lists and the certificates of responders follow as soon as they are there
  let server: PublishingServer;
  let unfollow = () => {};
  try {
    const documents = new PublishedDocuments({
      ...{ issuers, config, lists, index, clock },
      imported: imports.lists,
    });
    unfollow = authority.onChange(function takeUpIssuers() {
      const all = authority.publishers();
      lists?.takeUp(all);
      ocsp?.takeUp(all);
      documents.takeUp(all);
      // Another process may have revoked what one of them issued before it was known here.
      if (authority.config.ledger.postgres !== undefined) index.restart();
    });
    server = await startPublishingServer({ ...options, config, documents, ocsp, metrics });
  } catch (thrown) {
    unfollow();
    await stop();
    throw thrown;
  }
  lists?.keep(index);
  return {
    url: server.url,
    async list(issuer, shard) {
      return lists === undefined ? off : await lists.current(issuer, shard, index);
    },
    lists: () => [...(lists?.all() ?? []), ...imports.lists()],
    takeUpImported: imports.refresh,
    unwell: () => lists?.unwell(),
    async close(drainMs) {
      unfollow();
      await server.close(drainMs);
      await stop();
    },
  };
}

/**
 * The whole lists of an authority that does not serve, made and signed now: for whoever holds the state. Of every issuer
 * whose key is here, or of the one that is named; of that also one part. `path` is below `publish.url`.
 *
 * @throws CountersignError ERR_PUBLISH_ISSUER, ERR_PUBLISH_ROOT_KEY, ERR_STATE_BROKEN
 */
export async function makeLists(
  options: Omit<PublishingOptions, 'port' | 'maxConnections' | 'states'> & {
    /** The data directory. */
    readonly data: string;
  },
  issuer?: string,
  shard?: number,
): Promise<MadeList[]> {
  const { authority, data, clock, log, meter } = options;
  const crl = authority.config.publish?.crl ?? defaultCrl;
  const states = listStateFile(stateLayout(data).lists);
  const lists = await openLists({ ...options, states }, crl, new PublishMetrics(meter));
  const onRevoked = lists.add.bind(lists);
  const index = new RevokedIndex({ ledger: authority.ledger, clock, log, onRevoked });
  try {
    await index.loaded;
    const able = authority.publishers().filter(({ signer }) => signer !== undefined);
    const made: MadeList[] = [];
    const imported = await importedLists(authority.publishers(), authority.ledger);
    const isImported = imported.some((each) => each.issuer === issuer);
    const named = issuer === undefined ? able.map((each) => each.name) : [issuer];
    for (const name of isImported ? [] : named) {
      const list = await lists.current(name, shard, index);
      if (!('bytes' in list)) throw errorOfDenial(list, 'make the revocation list');
      made.push({ issuer: name, path: pathOf(name), bytes: list.bytes });
    }
    for (const { issuer: name, path, list } of imported) {
      if (issuer !== undefined && issuer !== name) continue;
      made.push({ issuer: name, path, bytes: list.bytes });
    }
    return made;
  } finally {
    await index.stop();
  }

  function pathOf(name: string): string {
    const found = authority.publishers().find((each) => each.name === name);
    if (found === undefined) throw new TypeError(`an issuer "${name}"`);
    const count = configNameOf(name) === 'root' ? 1 : crl.shards;
    const part = shard === undefined || count === 1 ? undefined : { count, shard };
    return publishedPath.crl(slugOf(name, found.certificate), part);
  }
}

export interface MadeList {
  readonly issuer: string;
  /** Below `publish.url`. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

const off = denial('ERR_PUBLISH_OFF', 'publish.crl is not enabled in ca.yaml');

function openLists(
  {
    authority,
    states,
    clock,
    log,
  }: Pick<PublishingOptions, 'authority' | 'states' | 'clock' | 'log'>,
  crl: CrlConfig,
  metrics: PublishMetrics,
): Promise<RevocationLists> {
  return RevocationLists.open({
    issuers: authority.publishers(),
    crl,
    url: authority.config.publish?.url ?? '',
    longestMs: authority.config.services.maxValidityMs,
    states: states ?? volatileListState(),
    async takeNumber(path, wanted, position) {
      const list = { number: String(wanted), position };
      const taken = await authority.ledger.takeListNumber(path, list);
      return taken === undefined ? undefined : BigInt(taken);
    },
    clock,
    log,
    metrics,
  });
}
