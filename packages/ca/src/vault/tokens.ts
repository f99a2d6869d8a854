import { hash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Clock, Log } from '@countersign/base';
import { messageOf } from '@countersign/base';
import { randomOctets } from '../ledger/random-octets.ts';
import { rootPolicyName } from './policies.ts';
import type { VaultConfig } from './vault-config.ts';
import type { TokenRecord } from './vault-objects.ts';
import { creating, type VaultStore } from './vault-store.ts';

/** What a new token is to be. Durations are milliseconds; 0: the server's, or none. */
export interface TokenOrder {
  readonly policies: readonly string[];
  readonly displayName: string;
  readonly who: string;
  readonly meta: Readonly<Record<string, string>> | undefined;
  readonly path: string;
  readonly ttlMs: number;
  readonly maxMs: number;
  readonly explicitMaxMs: number;
  readonly periodMs: number;
  readonly renewable: boolean;
  readonly uses: number;
  readonly boundCidrs: readonly string[];
  /** SHA-256 of the token that it ends with; undefined: an orphan. */
  readonly parent: string | undefined;
  /** It never ends; of a root token that a root token makes. */
  readonly isEndless?: boolean;
}

export interface MadeToken {
  /** The one time that it is seen. */
  readonly token: string;
  readonly record: TokenRecord;
  readonly warnings: readonly string[];
}

/** Longer chains of tokens that end with each other are not made: each is looked at at every use. */
const mostAncestors = 8;

/** Tokens by their hashes alone: whoever reads the ledger has none. */
export class Tokens {
  readonly #store: VaultStore;
  readonly #config: VaultConfig;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(parts: { store: VaultStore; config: VaultConfig; clock: Clock; log: Log }) {
    this.#store = parts.store;
    this.#config = parts.config;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  async create(order: TokenOrder): Promise<MadeToken> {
    const now = this.#clock.now();
    const { ttlMs, maxExpiresAt, warnings } = this.#lifetimeOf(order, now);
    const token = `hvs.${Buffer.from(randomOctets(32)).toString('base64url')}`;
    const record: TokenRecord = {
      hash: hashOf(token),
      accessor: Buffer.from(randomOctets(18)).toString('base64url'),
      policies: order.policies,
      displayName: order.displayName,
      who: order.who,
      meta: order.meta,
      path: order.path,
      createdAt: now,
      expiresAt: order.isEndless === true ? undefined : now + ttlMs,
      maxExpiresAt,
      ttlMs: order.isEndless === true ? 0 : ttlMs,
      explicitMaxMs: order.explicitMaxMs,
      periodMs: order.periodMs,
      renewable: order.renewable && order.isEndless !== true,
      parent: order.parent,
      usesLeft: order.uses,
      isLimited: order.uses > 0,
      boundCidrs: order.boundCidrs,
    };
    const expiresAt = endOf(record);
    await this.#store.change(
      creating('vault-token', record.hash, record, { owner: 'all', expiresAt }),
      creating(
        'vault-accessor',
        record.accessor,
        { token: record.hash },
        { owner: 'all', expiresAt },
      ),
    );
    return { token, record, warnings };
  }

  /** A token that is good now, by itself; one of its uses is taken. */
  async use(token: string): Promise<TokenRecord | undefined> {
    const found = (await this.find(hashOf(token))) ?? (await this.#configured(token));
    if (found === undefined || !found.isLimited) return found;
    if (!(await this.#store.takeUse('vault-token', found.hash))) return undefined;
    if (found.usesLeft === 1) await this.#store.remove('vault-accessor', found.accessor);
    return found;
  }

  /** By its hash, where it and those that it ends with are good now. */
  async find(tokenHash: string): Promise<TokenRecord | undefined> {
    const found = await this.#present(tokenHash);
    let above = found?.parent;
    for (let i = 0; above !== undefined; i += 1) {
      const parent = i < mostAncestors ? await this.#present(above) : undefined;
      if (parent === undefined) return undefined;
      above = parent.parent;
    }
    return found;
  }

  async findByAccessor(accessor: string): Promise<TokenRecord | undefined> {
    const found = await this.#store.find('vault-accessor', accessor);
    return found === undefined ? undefined : this.find(found.value.token);
  }

  /** How deep below a token without a parent. */
  async depthOf(record: TokenRecord): Promise<number> {
    let depth = 0;
    for (let above = record.parent; above !== undefined && depth <= mostAncestors; depth += 1) {
      above = (await this.#present(above))?.parent;
    }
    return depth;
  }

  isTooDeep(depth: number): boolean {
    return depth + 1 >= mostAncestors;
  }

  async accessors(): Promise<string[]> {
    const all = await this.#store.all('vault-token', 'all', (each) => each.hash);
    const now = this.#clock.now();
    return all.filter((each) => endOf(each) > now).map((each) => each.accessor);
  }

  /** How it stands in the end, and what the caller is to be told. */
  async renew(
    record: TokenRecord,
    incrementMs: number,
  ): Promise<{ readonly record: TokenRecord; readonly warnings: readonly string[] }> {
    const now = this.#clock.now();
    const warnings: string[] = [];
    const wantedMs = record.periodMs || incrementMs || record.ttlMs;
    const longest = Math.max(0, (record.maxExpiresAt ?? now + this.#config.longestTokenMs) - now);
    const givenMs = Math.min(wantedMs, longest);
    if (givenMs < wantedMs) {
      warnings.push(
        `TTL of "${wantedMs / 1000}s" exceeded the effective max_ttl of "${Math.floor(longest / 1000)}s"; TTL value is capped accordingly`,
      );
    }
    const renewed = await this.#store.update(
      'vault-token',
      record.hash,
      (present) => ({ ...present, expiresAt: now + givenMs }),
      endOf,
    );
    await this.#store.put(
      'vault-accessor',
      record.accessor,
      { token: record.hash },
      { owner: 'all', expiresAt: endOf(renewed) },
    );
    return { record: renewed, warnings };
  }

  /** What ended with it is good no more from then on. */
  async revoke(tokenHash: string): Promise<void> {
    const found = await this.#store.find('vault-token', tokenHash);
    await this.#store.remove('vault-token', tokenHash);
    if (found !== undefined) await this.#store.remove('vault-accessor', found.value.accessor);
  }

  async #present(tokenHash: string): Promise<TokenRecord | undefined> {
    const found = await this.#store.find('vault-token', tokenHash);
    return found !== undefined && endOf(found.value) > this.#clock.now() ? found.value : undefined;
  }

  #lifetimeOf(order: TokenOrder, now: number) {
    const warnings: string[] = [];
    const { longestTokenMs, tokenMs } = this.#config;
    const bounds = [longestTokenMs, order.maxMs, order.explicitMaxMs].filter((each) => each > 0);
    const maxMs = Math.min(...bounds);
    const wantedMs = order.periodMs || order.ttlMs || Math.min(tokenMs, maxMs);
    // A periodic token has no end as long as it is renewed, but for an explicit one.
    const mostMs = order.periodMs > 0 ? order.explicitMaxMs || wantedMs : maxMs;
    if (wantedMs > mostMs) {
      warnings.push(
        `TTL of "${wantedMs / 1000}s" exceeded the effective max_ttl of "${mostMs / 1000}s"; TTL value is capped accordingly`,
      );
    }
    const isPeriodic = order.periodMs > 0;
    const end = isPeriodic ? order.explicitMaxMs : maxMs;
    return {
      ttlMs: Math.min(wantedMs, mostMs),
      maxExpiresAt: end === 0 || order.isEndless === true ? undefined : now + end,
      warnings,
    };
  }

  /** One of ca.yaml, whose file is there. */
  async #configured(token: string): Promise<TokenRecord | undefined> {
    const asked = digest(token);
    for (const { name, file, policies } of this.#config.tokens) {
      const written = await this.#readFile(file);
      if (written === undefined || !timingSafeEqual(digest(written), asked)) continue;
      return {
        hash: hashOf(token),
        accessor: `configured.${name.replaceAll(/[^A-Za-z0-9_-]/g, '_')}`,
        policies,
        displayName: name,
        who: `token/${name}`,
        meta: undefined,
        path: 'auth/token/create',
        createdAt: 0,
        ...{ expiresAt: undefined, maxExpiresAt: undefined, ttlMs: 0, explicitMaxMs: 0 },
        ...{ periodMs: 0, renewable: false, parent: undefined, usesLeft: 0, isLimited: false },
        boundCidrs: [],
      };
    }
    return undefined;
  }

  async #readFile(file: string): Promise<string | undefined> {
    try {
      const written = (await readFile(file, 'utf8')).trim();
      if (written.length >= leastConfigured) return written;
      this.#log.error(
        { file },
        `vault token file has fewer than ${leastConfigured} characters, it is not used`,
      );
    } catch (thrown) {
      this.#log.error({ file, reason: messageOf(thrown) }, 'vault token file cannot be read');
    }
    return undefined;
  }
}

/** What is shorter can be guessed. */
const leastConfigured = 16;

export function hashOf(token: string): string {
  return hash('sha256', token);
}

export function isRoot({ policies }: Pick<TokenRecord, 'policies'>): boolean {
  return policies.includes(rootPolicyName);
}

/** What of it stays in the ledger until then. */
function endOf({ expiresAt }: TokenRecord): number {
  return expiresAt ?? Number.MAX_SAFE_INTEGER;
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
