import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import type { RouterConfig } from '../config/router-config.ts';
import { type KeySource, readKeySet, type VerifyingKey } from './key-set.ts';
import { RemoteKeySet } from './remote-key-set.ts';
import { TokenVerifier } from './token-verifier.ts';

/** How tokens are verified; a reload with the same words keeps the keys that are there. */
export interface OpenTokens {
  readonly jwt: NonNullable<RouterConfig['jwt']>;
  readonly verifier: TokenVerifier;
  readonly keys: KeySource;
}

interface Tools {
  readonly readText: (path: string) => Promise<string>;
  readonly clock: Clock;
  readonly log: Log;
}

/** @throws CountersignError ERR_ROUTER_JWKS */
export async function openTokens(
  { jwt }: RouterConfig,
  tools: Tools,
  before?: OpenTokens,
): Promise<OpenTokens | undefined> {
  if (jwt === undefined) return undefined;
  const isKept = before?.keys.stop !== undefined && isSame(before.jwt, jwt);
  const keys = isKept ? before.keys : await openKeys(jwt, tools);
  return { jwt, keys, verifier: new TokenVerifier({ ...jwt, keys, clock: tools.clock }) };
}

async function openKeys(
  { jwks, ca, refresh, max_stale: maxStaleMs }: NonNullable<RouterConfig['jwt']>,
  { readText, clock, log }: Tools,
): Promise<KeySource> {
  if (!isUrl(jwks)) {
    const keys = await readKeyFile(jwks, readText);
    return { keys: () => keys };
  }
  const pem = ca === undefined ? undefined : await readText(ca);
  return await RemoteKeySet.open({
    ...{ url: jwks, ca: pem, refreshMs: refresh, maxStaleMs, clock, log },
  });
}

/**
 * For `check`: what a start would find wrong with the key set; one of a URL is not asked for.
 *
 * @returns notes for the operator
 * @throws CountersignError ERR_ROUTER_JWKS
 */
export async function checkKeySet(
  { jwt }: RouterConfig,
  { readText }: Pick<Tools, 'readText'>,
): Promise<string[]> {
  if (jwt === undefined) return [];
  if (isUrl(jwt.jwks)) return [`jwt.jwks is fetched from "${jwt.jwks}", unchecked here`];
  await readKeyFile(jwt.jwks, readText);
  return [];
}

async function readKeyFile(
  path: string,
  readText: Tools['readText'],
): Promise<readonly VerifyingKey[]> {
  const text = await readText(path);
  try {
    return readKeySet(text);
  } catch (thrown) {
    const message = `jwt.jwks "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ROUTER_JWKS', message, { cause: thrown });
  }
}

/** Whether `jwt.jwks` is fetched, not read. */
export function isUrl(jwks: string): boolean {
  return /^https:\/\//i.test(jwks);
}

function isSame(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
