import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { CountersignError, messageOf } from '@countersign/base';
import { routes } from '@countersign/wire';
import { type Certificate, certificatesFromPem, fingerprintOf } from '@countersign/x509';
import type { AuthorityAddress } from './authority-url.ts';

export interface OfferedRootsOptions {
  readonly address: AuthorityAddress;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
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
  return pinnedAmong(await offeredRoots(options), options);
}

/**
 * What an address claims for its roots; nothing is proved before {@link pinnedAmong}.
 *
 * @throws CountersignError ERR_IDENTITY_ROOT, ERR_WIRE_UNREACHABLE, ERR_TIMEOUT
 */
export async function offeredRoots(options: OfferedRootsOptions): Promise<readonly Certificate[]> {
  const attempted = attemptAt(options.address);
  return readRoots(await fetchAnchors(options, attempted), attempted);
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

async function fetchAnchors(options: OfferedRootsOptions, attempted: string): Promise<string> {
  const { address, timeoutMs } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  try {
    return await getPem(address, signal);
  } catch (thrown) {
    if (options.signal?.aborted === true) throw options.signal.reason;
    if (thrown instanceof CountersignError) throw thrown;
    const [code, reason] = timeout.aborted
      ? (['ERR_TIMEOUT', `no answer within ${timeoutMs} ms`] as const)
      : (['ERR_WIRE_UNREACHABLE', messageOf(thrown)] as const);
    throw new CountersignError(code, `${attempted}: ${reason}`, { cause: thrown });
  }
}

async function getPem(address: AuthorityAddress, signal: AbortSignal): Promise<string> {
  const { path, method, maxAnswerBytes } = routes.bundlePem;
  const asked = request({
    host: address.host,
    port: address.port,
    method,
    path,
    signal,
    agent: false,
    servername: address.isAddress ? '' : address.host,
    // Nothing is believed of this connection; the pin judges what it brings.
    rejectUnauthorized: false,
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
  if (response.statusCode === 200) return Buffer.concat(parts).toString('latin1');
  throw new CountersignError(
    'ERR_WIRE_ROUTE',
    `GET ${address.origin}${path}: answered ${response.statusCode}, expected 200`,
    { fields: { status: response.statusCode } },
  );
}
