import type { IncomingMessage } from 'node:http';
import { type Clock, CountersignError, messageOf, nodeHttp, systemClock } from '@countersign/base';
import { routes } from '@countersign/wire';
import { type Certificate, certificatesFromPem, fingerprintOf } from '@countersign/x509';
import type { AuthorityAddress } from './authority-url.ts';
import { type OpenConnection, openConnection } from './open-connection.ts';

export interface OfferedRootsOptions {
  readonly address: AuthorityAddress;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

export interface OfferedRoots {
  readonly roots: readonly Certificate[];
  /** Whence they came, for the next call; whoever is given it closes it. */
  readonly connection?: OpenConnection;
}

export interface LearnRootOptions extends OfferedRootsOptions {
  /** SHA-256 of the root's DER, lowercase hexadecimal. */
  readonly fingerprint: string;
}

/**
 * The root that has the pinned fingerprint, as the authority hands it to anybody. The connection proves nothing and
 * carries nothing of ours: what comes back is compared with the pin, and only that.
 *
 * @throws CountersignError ERR_IDENTITY_ROOT, ERR_WIRE_UNREACHABLE, ERR_TIMEOUT
 */
export async function learnRoot(options: LearnRootOptions): Promise<Certificate> {
  const { roots, connection } = await offeredRoots(options);
  connection?.close();
  return pinnedAmong(roots, options);
}

/**
 * What an address claims for its roots; nothing is proved before {@link pinnedAmong}.
 *
 * @throws CountersignError ERR_IDENTITY_ROOT, ERR_WIRE_UNREACHABLE, ERR_TIMEOUT
 */
export async function offeredRoots(options: OfferedRootsOptions): Promise<OfferedRoots> {
  const attempted = attemptAt(options.address);
  const { pem, connection } = await fetchAnchors(options, attempted);
  try {
    return { roots: readRoots(pem, attempted), connection };
  } catch (thrown) {
    connection.close();
    throw thrown;
  }
}

/** @throws CountersignError ERR_IDENTITY_ROOT where none has the fingerprint */
export function pinnedAmong(
  offered: readonly Certificate[],
  { address, fingerprint }: Pick<LearnRootOptions, 'address' | 'fingerprint'>,
): Certificate {
  const root = offered.find((each) => fingerprintOf(each) === fingerprint);
  if (root !== undefined) return root;
  const found = offered.map(fingerprintOf).join(', ');
  throw new CountersignError(
    'ERR_IDENTITY_ROOT',
    `${attemptAt(address)}: it has ${found}, pinned is ${fingerprint}`,
    { fields: { found, pinned: fingerprint } },
  );
}

function attemptAt({ origin }: AuthorityAddress): string {
  return `read the root of "${origin}"`;
}

function readRoots(pem: string, attempted: string): readonly Certificate[] {
  try {
    return certificatesFromPem(pem);
  } catch (thrown) {
    throw new CountersignError('ERR_IDENTITY_ROOT', `${attempted}: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

interface Anchors {
  readonly pem: string;
  readonly connection: OpenConnection;
}

async function fetchAnchors(options: OfferedRootsOptions, attempted: string): Promise<Anchors> {
  const { address, timeoutMs, clock = systemClock } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  try {
    const connection = await openConnection(address, { clock, signal });
    try {
      return { pem: await getPem(address, connection, signal), connection };
    } catch (thrown) {
      connection.close();
      throw thrown;
    }
  } catch (thrown) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (thrown instanceof CountersignError && thrown.code.startsWith('ERR_WIRE_')) throw thrown;
    const [code, reason] = timeout.aborted
      ? (['ERR_TIMEOUT', `no answer within ${timeoutMs} ms`] as const)
      : (['ERR_WIRE_UNREACHABLE', messageOf(thrown)] as const);
    throw new CountersignError(code, `${attempted}: ${reason}`, { cause: thrown });
  }
}

/** Nothing is believed of the connection; the pin judges what it brings. */
async function getPem(
  address: AuthorityAddress,
  connection: OpenConnection,
  signal: AbortSignal,
): Promise<string> {
  const { path, method, maxAnswerBytes } = routes.bundlePem;
  const asked = nodeHttp().request({
    createConnection: () => connection.socket,
    host: address.host,
    port: address.port,
    method,
    path,
    signal,
    headers: { connection: 'keep-alive' },
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    asked.once('response', resolve);
    asked.on('error', reject);
    asked.end();
  });
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.byteLength;
    if (length > maxAnswerBytes) {
      const message = `GET ${address.origin}${path}: more than ${maxAnswerBytes} bytes`;
      throw new CountersignError('ERR_WIRE_TOO_LARGE', message);
    }
    parts.push(part);
  }
  connection.used();
  if (response.statusCode === 200) return Buffer.concat(parts).toString('latin1');
  throw new CountersignError(
    'ERR_WIRE_ROUTE',
    `GET ${address.origin}${path}: answered ${response.statusCode}, expected 200`,
    { fields: { status: response.statusCode } },
  );
}
