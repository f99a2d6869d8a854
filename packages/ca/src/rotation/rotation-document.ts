import { CountersignError, fromBase64, messageOf, toBase64 } from '@countersign/base';
import { type Certificate, parseCertificate } from '@countersign/x509';
import { parseKeyDescription } from '../signers/key-reference.ts';
import type { KeyDescription } from '../signers/key-store.ts';

/**
 * Where a generation of a key stands.
 *
 * - `making`: the key is there, its certificates are not: what a crash in `prepare` leaves.
 * - `prepared`: certified and, for a root, in the trust bundle; it signs nothing for services.
 * - `active`: it signs. Exactly one generation of each authority.
 * - `replaced`: it was active before; still trusted, it signs lists alone.
 * - `retired`: trusted no more; its lists go on until what it signed has ended.
 * - `dropped`: prepared once, and taken back.
 */
export type Phase = 'making' | 'prepared' | 'active' | 'replaced' | 'retired' | 'dropped';

export interface CertifiedBy {
  /** Ledger name of the generation that signed: its own for a self-signed root. */
  readonly by: string;
  readonly certificate: Certificate;
}

/** One key of an authority of the hierarchy, with every certificate that there is for it. */
export interface Generation {
  /** `root`, or the intermediate's name. */
  readonly name: string;
  /** 1 for the one that init made, 2, 3, … */
  readonly number: number;
  readonly phase: Phase;
  /** Absent: in the data directory's files, or offline. */
  readonly key: KeyDescription | undefined;
  /** The newest of each signer. */
  readonly certificates: readonly CertifiedBy[];
  /** When it came to this phase, in milliseconds since the epoch. */
  readonly since: number;
  /** When it began to sign for services, and ended: it may have done so more than once. */
  readonly spans: readonly Span[];
}

export interface Span {
  readonly from: number;
  readonly to: number | undefined;
}

/** A certificate that was ordered of a key that is offline: the request is carried there, the certificate back. */
export interface CarriedOrder {
  /** Ledger name of the key that is certified. */
  readonly subject: string;
  /** Ledger name of the key that is to sign. */
  readonly by: string;
  /** Position of its intent. */
  readonly intent: number;
  readonly serialHex: string;
  /** Whole seconds, milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER of a request by the subject's key; of its certificate, where it is a root that has one. */
  readonly asks: Uint8Array;
  readonly isCertificate: boolean;
  /** Once it was carried back. */
  readonly certificate: Certificate | undefined;
}

/** The whole hierarchy, every key of it: all processes over a ledger share it. */
export interface RotationDocument {
  /** Of the trust bundle: it grows with every change of it. */
  readonly sequence: number;
  readonly generations: readonly Generation[];
  /** For keys in the making. */
  readonly orders: readonly CarriedOrder[];
}

/** As the ledger calls the issuer of certificates: the first keeps the plain name. No configured name has a dot. */
export function ledgerNameOf({ name, number }: Pick<Generation, 'name' | 'number'>): string {
  return number === 1 ? name : `${name}.${number}`;
}

/** The name in the configuration of an issuer that the ledger names. */
export function configNameOf(ledgerName: string): string {
  return ledgerName.split('.', 1)[0] ?? ledgerName;
}

export function formatRotationDocument(document: RotationDocument): string {
  const { sequence, generations, orders } = document;
  return JSON.stringify({
    format,
    version: 1,
    sequence,
    generations: generations.map(({ certificates, ...rest }) => ({
      ...rest,
      certificates: certificates.map(({ by, certificate }) => ({
        by,
        der: toBase64(certificate.raw),
      })),
    })),
    ...(orders.length > 0 && {
      orders: orders.map(({ asks, certificate, ...rest }) => ({
        ...rest,
        asks: toBase64(asks),
        ...(certificate !== undefined && { der: toBase64(certificate.raw) }),
      })),
    }),
  });
}

/**
 * Reads the form of a document; that it follows from the root that init made is for `proveRotation`.
 *
 * @throws CountersignError ERR_STATE_BROKEN
 */
export function parseRotationDocument(text: string, what: string): RotationDocument {
  try {
    const json = JSON.parse(text);
    if (json?.format !== format || json.version !== 1) {
      throw new TypeError('it is no hierarchy of this version');
    }
    if (!Number.isSafeInteger(json.sequence) || !Array.isArray(json.generations)) {
      throw new TypeError('a member is missing or malformed');
    }
    const orders = (json.orders ?? []).map(readOrder);
    return { sequence: json.sequence, generations: json.generations.map(readGeneration), orders };
  } catch (thrown) {
    throw new CountersignError('ERR_STATE_BROKEN', `read ${what}: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

const format = 'countersign-hierarchy';
const phases: ReadonlySet<unknown> = new Set<Phase>([
  'making',
  'prepared',
  'active',
  'replaced',
  'retired',
  'dropped',
]);

function readGeneration(json: Record<string, unknown>): Generation {
  const { name, number, phase, key, certificates, since, spans } = json;
  const isWhole =
    typeof name === 'string' &&
    /^[A-Za-z][A-Za-z0-9_-]*$/.test(name) &&
    Number.isSafeInteger(number) &&
    phases.has(phase) &&
    Number.isSafeInteger(since) &&
    Array.isArray(spans) &&
    Array.isArray(certificates);
  if (!isWhole) throw new TypeError('a generation is malformed');
  return {
    name,
    number: Number(number),
    phase: phase as Phase,
    key: key === undefined ? undefined : parseKeyDescription(JSON.stringify(key), `key "${name}"`),
    certificates: certificates.map(({ by, der }) => {
      const bytes = typeof der === 'string' ? fromBase64(der) : undefined;
      if (typeof by !== 'string' || bytes === undefined) throw new TypeError('a certificate');
      return { by, certificate: parseCertificate(bytes) };
    }),
    since: Number(since),
    spans: spans.map(({ from, to }) => ({
      from: Number(from),
      to: to === undefined ? undefined : Number(to),
    })),
  };
}

function readOrder(json: Record<string, unknown>): CarriedOrder {
  const { subject, by, intent, serialHex, notBefore, notAfter, asks, isCertificate, der } = json;
  const [request, certificate] = [asks, der].map((text) =>
    typeof text === 'string' ? fromBase64(text) : undefined,
  );
  const isWhole =
    typeof subject === 'string' &&
    typeof by === 'string' &&
    typeof serialHex === 'string' &&
    typeof isCertificate === 'boolean' &&
    [intent, notBefore, notAfter].every(Number.isSafeInteger);
  if (!isWhole || request === undefined) throw new TypeError('an order is malformed');
  return {
    ...{ subject, by, serialHex, isCertificate, asks: request, intent: Number(intent) },
    notBefore: Number(notBefore),
    notAfter: Number(notAfter),
    certificate: certificate === undefined ? undefined : parseCertificate(certificate),
  };
}
