import { setImmediate } from 'node:timers/promises';
import { CountersignError, messageOf } from '@countersign/base';
import {
  type Certificate,
  type Crl,
  crlLimits,
  crlsFromPem,
  findExtension,
  formatName,
  oids,
  parseCrlPausing,
  verifySignature,
} from '@countersign/x509';
import type { GuardedHttp, HttpAnswer } from '../checking/guarded-http.ts';
import type { Validity } from '../checking/refresh-time.ts';
import type { ListPlace } from './list-place.ts';

/** A list that one of its place's signers has signed. What it covers is for path validation to say. */
export interface KeptList extends Validity {
  readonly crl: Crl;
  readonly signer: Certificate;
  /** The address that it came from, and what that said for the next time. */
  readonly url: string;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  /** Equal where two lists differ in their entries, numbers and dates alone: they cover the same. */
  readonly shape: string;
}

export interface FetchListOptions {
  readonly http: GuardedHttp;
  readonly maxBytes: number;
  readonly now: () => number;
}

/** How far the clock of an issuer may be ahead. */
export const skewMs = 60_000;

/**
 * The newest list of a place: fetched, read, proved, and not older than the one before. Addresses are tried in order.
 * The known one itself, where it is still the newest.
 *
 * @throws CountersignError ERR_REVOCATION_*, with the reason of the first address
 */
export async function fetchList(
  options: FetchListOptions,
  place: ListPlace,
  known: KeptList | undefined,
  signal: AbortSignal,
): Promise<KeptList> {
  let first: unknown;
  for (const url of place.urls) {
    try {
      const answer = await ask(options, place, known, url, signal);
      return await accept(options, place, known, url, answer);
    } catch (thrown) {
      first ??= thrown;
      if (signal.aborted) break;
    }
  }
  throw first;
}

async function ask(
  { http, maxBytes }: FetchListOptions,
  place: ListPlace,
  known: KeptList | undefined,
  url: string,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const isSame = known?.url === url;
  const headers = {
    accept: 'application/pkix-crl, */*;q=0.5',
    ...(isSame && known.etag !== undefined && { 'if-none-match': known.etag }),
    ...(isSame && known.lastModified !== undefined && { 'if-modified-since': known.lastModified }),
  };
  return http.ask({ url, isConfigured: place.isConfigured, headers, maxBytes, signal });
}

async function accept(
  options: FetchListOptions,
  place: ListPlace,
  known: KeptList | undefined,
  url: string,
  answer: HttpAnswer,
): Promise<KeptList> {
  // 1. nothing new
  if (answer.status === 304) {
    if (known === undefined) throw unusable(url, 'status 304, though nothing is known of it yet');
    return known;
  }
  const { etag, 'last-modified': lastModified } = answer.headers;
  const validators = { url, etag, lastModified };
  if (known !== undefined && Buffer.compare(known.crl.raw, answer.body) === 0) {
    return { ...known, ...validators };
  }
  // 2. a list
  const crl = await read(answer.body, url, options.maxBytes);
  const { thisUpdate, nextUpdate } = crl;
  // RFC 5280 §5.1.2.5
  if (nextUpdate === undefined) throw unusable(url, 'does not say when its next update is due');
  const now = options.now();
  if (thisUpdate > now + skewMs) {
    throw unusable(url, `is from the future: thisUpdate ${text(thisUpdate)}, now ${text(now)}`);
  }
  // 3. by one who may
  const signer = signerOf(crl, place, known, now);
  if (signer === undefined) {
    const whose = place.signers.map(({ subject }) => `"${formatName(subject)}"`).join(', ');
    const detail = `list of "${formatName(crl.issuer)}" is not signed by the key of ${whose}`;
    throw failed('ERR_REVOCATION_UNPROVED', url, detail);
  }
  // 4. and not an old one: plain http lets anybody on the way play back what was true once
  if (known !== undefined && isOlder(crl, known.crl)) {
    const sides = `thisUpdate ${text(thisUpdate)}, known is one of ${text(known.thisUpdate)}`;
    throw failed('ERR_REVOCATION_REPLAYED', url, `list is older than the one before: ${sides}`);
  }
  return { crl, signer, ...validators, thisUpdate, nextUpdate, shape: shapeOf(crl) };
}

/** Connections go on while a list of a million is read. */
async function read(body: Uint8Array, url: string, maxBytes: number): Promise<Crl> {
  try {
    // RFC 5280 §4.2.1.13 wants DER; PEM is met in the wild
    if (body[0] !== 0x2d) {
      return await parseCrlPausing(body, { ...crlLimits, maxBytes }, setImmediate);
    }
    const [crl] = crlsFromPem(body);
    if (crl === undefined) throw unusable(url, 'is a PEM text without a list');
    return crl;
  } catch (thrown) {
    if (thrown instanceof CountersignError && thrown.code === 'ERR_REVOCATION_ANSWER') throw thrown;
    throw failed(
      'ERR_REVOCATION_ANSWER',
      url,
      `is no revocation list: ${messageOf(thrown)}`,
      thrown,
    );
  }
}

/** While the known list holds, only its own signer can replace it. */
function signerOf(
  crl: Crl,
  { signers }: ListPlace,
  known: KeptList | undefined,
  now: number,
): Certificate | undefined {
  const candidates = known !== undefined && now <= known.nextUpdate ? [known.signer] : signers;
  return candidates.find(({ spki }) =>
    verifySignature(spki, crl.signatureAlgorithm, crl.tbs, crl.signature),
  );
}

// RFC 5280 §5.2.3
function isOlder(crl: Crl, known: Crl): boolean {
  if (crl.thisUpdate < known.thisUpdate) return true;
  const { crlNumber: number } = crl;
  return number !== undefined && known.crlNumber !== undefined && number < known.crlNumber;
}

function shapeOf(crl: Crl): string {
  const extensionHex = (oid: string) => hex(findExtension(crl.extensions, oid)?.value);
  return JSON.stringify([
    hex(crl.issuer.raw),
    crl.signatureAlgorithm.oid,
    crl.unknownCriticalExtensions,
    crl.crlNumber === undefined,
    crl.deltaCrlBase === undefined,
    extensionHex(oids.authorityKeyIdentifier),
    extensionHex(oids.issuingDistributionPoint),
    extensionHex(oids.freshestCrl),
  ]);
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : Buffer.from(bytes).toString('hex');
}

function text(ms: number): string {
  return new Date(ms).toISOString();
}

function unusable(url: string, detail: string): CountersignError {
  return failed('ERR_REVOCATION_ANSWER', url, detail);
}

function failed(
  code: 'ERR_REVOCATION_ANSWER' | 'ERR_REVOCATION_UNPROVED' | 'ERR_REVOCATION_REPLAYED',
  url: string,
  detail: string,
  cause?: unknown,
): CountersignError {
  return new CountersignError(code, `list at "${url}": ${detail}`, { fields: { url }, cause });
}
