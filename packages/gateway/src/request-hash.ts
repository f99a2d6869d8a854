import type { ClusterModel } from './model/cluster-model.ts';
import type { HashModel, HashSource } from './model/hash-model.ts';
import type { HeaderLine } from './model/header-operations.ts';
import { queryValue } from './model/request-match.ts';
import type { ForwardAction } from './model/route-model.ts';
import type { RequestHead } from './request-head.ts';
import { combinedHash } from './upstream/hash-ring.ts';
import { xxHash64 } from './upstream/xx-hash.ts';

export interface Hashed {
  readonly head: RequestHead;
  /** Names and values alternating. */
  readonly rawHeaders: readonly string[];
  readonly sourceAddress: string;
  /** For cookies that are given. */
  readonly newId: () => string;
}

export interface RequestHash {
  /** Undefined where nothing that is looked at is there. */
  readonly hash: bigint | undefined;
  /** For the response. */
  readonly cookies: readonly HeaderLine[];
}

/** The same by what the route says, or else the cluster; of clusters that go by something else nothing is hashed. */
export function placeOf(
  action: Pick<ForwardAction, 'hash'>,
  cluster: Pick<ClusterModel, 'balancing' | 'hash'>,
  request: Hashed,
): RequestHash {
  if (cluster.balancing !== 'ring-hash') return nowhere;
  return requestHash(action.hash ?? cluster.hash ?? [], request);
}

/** The place of a connection whose bytes nobody reads: its source is all that is known of it. */
export function placeOfConnection(
  cluster: Pick<ClusterModel, 'balancing' | 'hash'>,
  sourceAddress: string,
): bigint | undefined {
  if (cluster.balancing !== 'ring-hash') return undefined;
  const goesBySource = cluster.hash?.some(({ of }) => of.kind === 'source-address') === true;
  return goesBySource ? xxHash64(sourceAddress) : undefined;
}

const nowhere: RequestHash = { hash: undefined, cookies: [] };

/** Which place on a ring a request has, as Envoy's `hash_policy` says it. */
export function requestHash(policies: readonly HashModel[], request: Hashed): RequestHash {
  let hash: bigint | undefined;
  const cookies: HeaderLine[] = [];
  for (const { of, isEnough = false } of policies) {
    const value = foundOf(of, request) ?? givenCookie(of, request, cookies);
    if (value !== undefined) hash = combinedHash(hash, hashOf(value));
    if (isEnough && hash !== undefined) break;
  }
  return { hash, cookies };
}

/** Lines of one header are hashed one after the other, in their order by value. */
function hashOf(value: string | readonly string[]): bigint {
  if (typeof value === 'string') return xxHash64(value);
  return value.reduce((seed, line) => xxHash64(line, seed), 0n);
}

function foundOf(
  of: HashSource,
  { head, rawHeaders, sourceAddress }: Hashed,
): string | readonly string[] | undefined {
  if (of.kind === 'source-address') return sourceAddress;
  if (of.kind === 'query') return queryValue(head.target.query, of.name);
  if (of.kind === 'cookie') return cookieOf(rawHeaders, of.name);
  if (of.name === 'host' || of.name === ':authority') return head.authority;
  const lines = linesOf(rawHeaders, of.name);
  return lines.length === 0 ? undefined : lines.toSorted();
}

function givenCookie(of: HashSource, { newId }: Hashed, cookies: HeaderLine[]): string | undefined {
  if (of.kind !== 'cookie' || of.ttlMs === undefined) return undefined;
  const value = newId();
  const age = of.ttlMs === 0 ? '' : `; Max-Age=${Math.ceil(of.ttlMs / 1000)}`;
  const path = of.path === undefined ? '' : `; Path=${of.path}`;
  cookies.push(['Set-Cookie', `${of.name}="${value}"${age}${path}; HttpOnly`]);
  return value;
}

/** RFC 6265 §4.2.1; quotes around a value are not a part of it. Empty is not there. */
function cookieOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (const line of linesOf(rawHeaders, 'cookie')) {
    for (const pair of line.split(';')) {
      const equals = pair.indexOf('=');
      if (equals === -1 || pair.slice(0, equals).trim() !== name) continue;
      const value = pair.slice(equals + 1).trim();
      const plain = /^"(.*)"$/.exec(value)?.[1] ?? value;
      return plain === '' ? undefined : plain;
    }
  }
  return undefined;
}

function linesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
}
