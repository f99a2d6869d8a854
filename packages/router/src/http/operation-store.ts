import { createHash } from 'node:crypto';
import { denial } from '@countersign/base';
import { LruCache } from '../operation/lru-cache.ts';
import { type OperationParameters, type RefusedRequest, wrong } from './read-request.ts';

export interface StoreOptions {
  /** Apollo's automatic persisted queries. */
  readonly automatic: boolean;
  /** The only operations that are let through, by SHA-256 (hex) or by a name. */
  readonly safelist: ReadonlyMap<string, string> | undefined;
}

const maxEntries = 10_000;
const notSupported = 'PERSISTED_QUERY_NOT_SUPPORTED';
const maxChars = 32 * 1024 * 1024;

/** Which document a request means: the one that it carries, or one that is known by its hash. */
export class OperationStore {
  readonly #options: StoreOptions;
  readonly #safeDocuments: ReadonlySet<string>;
  readonly #automatic = new LruCache<string>(maxEntries, maxChars);

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#safeDocuments = new Set(options.safelist?.values() ?? []);
  }

  /** Refusals: ERR_GRAPHQL_PERSISTED, ERR_GRAPHQL_REQUEST. */
  find({
    query,
    extensions,
  }: OperationParameters): { readonly ok: true; readonly query: string } | RefusedRequest {
    const { version } = Object(extensions.persistedQuery) as Record<string, unknown>;
    if (version !== undefined && version !== 1) {
      const told = JSON.stringify(version)?.slice(0, 20);
      return persisted(400, `persistedQuery of version ${told}, 1 is expected`, notSupported);
    }
    const hash = hashOf(extensions);
    const { safelist, automatic } = this.#options;
    if (safelist !== undefined) {
      const known = hash === undefined ? undefined : safelist.get(hash);
      if (known !== undefined) return { ok: true, query: known };
      if (query !== undefined && this.#safeDocuments.has(query)) return { ok: true, query };
      return persisted(403, 'the operation is not on the safelist', 'PERSISTED_QUERY_NOT_IN_LIST');
    }
    if (hash === undefined) {
      return query === undefined ? wrong(400, '"query" is missing') : { ok: true, query };
    }
    if (!automatic) return persisted(400, 'persisted queries are switched off', notSupported);
    if (query === undefined) {
      const known = this.#automatic.get(hash);
      if (known !== undefined) return { ok: true, query: known };
      return persisted(200, 'PersistedQueryNotFound', 'PERSISTED_QUERY_NOT_FOUND');
    }
    const actual = createHash('sha256').update(query).digest('hex');
    if (actual !== hash)
      return wrong(400, `the query's SHA-256 is "${actual}", the request says "${hash}"`);
    this.#automatic.set(hash, query, query.length);
    return { ok: true, query };
  }
}

/** @param word what clients of Apollo's protocol look for in the error's code */
function persisted(status: number, detail: string, word: string): RefusedRequest {
  return { ...denial('ERR_GRAPHQL_PERSISTED', detail, { word }), status };
}

function hashOf(extensions: OperationParameters['extensions']): string | undefined {
  const { persistedQuery } = extensions;
  const { sha256Hash } = Object(persistedQuery) as Record<string, unknown>;
  return typeof sha256Hash === 'string' ? sha256Hash.toLowerCase() : undefined;
}
