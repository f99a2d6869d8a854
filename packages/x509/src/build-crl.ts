import { fromHex } from '@countersign/base';
import { assembleCertificate } from './build-certificate.ts';
import { der } from './der-writer.ts';
import type { Extension } from './extension.ts';
import { encodeExtensions, extension, keyIdOf } from './extension-builders.ts';
import type { Name } from './name.ts';
import { oids } from './oids.ts';
import { type RevocationReason, revocationReasons } from './revocation-reason.ts';
import { positiveSerial } from './serial.ts';
import type { Signer } from './signer.ts';

export interface RevokedCertificate {
  /** Hexadecimal as in `Certificate.serialHex`; positive. */
  readonly serialHex: string;
  /** Ms since the epoch. */
  readonly date: number;
  /** `unspecified` is said by absence (RFC 5280 §5.3.1). */
  readonly reason?: RevocationReason;
  readonly invalidityDate?: number | undefined;
}

export interface CrlTemplate {
  readonly signer: Signer;
  readonly issuer: Name;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** At least 0, and more than the number of the list before (RFC 5280 §5.2.3). */
  readonly crlNumber: bigint;
  /** Distinct serials, in any order. */
  readonly entries: Iterable<RevokedCertificate>;
  /** The issuer's subject key identifier; derived from the signer's key unless given. */
  readonly authorityKeyId?: Uint8Array | undefined;
  /** Beside authority key identifier and CRL number. */
  readonly extensions?: readonly Extension[];
}

/** DER of a signed version 2 list (RFC 5280 §5.1). */
export async function buildCrl(template: CrlTemplate): Promise<Uint8Array> {
  const { signer } = template;
  const entries = Array.from(template.entries, encodeEntry);
  const extensions = [
    extension.authorityKeyId(template.authorityKeyId ?? keyIdOf(signer.spki)),
    extension.crlNumber(template.crlNumber),
    ...(template.extensions ?? []),
  ];
  const tbs = der.sequence(
    der.integer(1),
    signer.algorithm.identifier,
    template.issuer.raw,
    der.time(template.thisUpdate),
    der.time(template.nextUpdate),
    ...(entries.length === 0 ? [] : [der.element(0x30, entries)]),
    der.explicit(0, encodeExtensions(extensions)),
  );
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

function encodeEntry(entry: RevokedCertificate): Uint8Array {
  const { serialHex, reason = 'unspecified', invalidityDate } = entry;
  const octets = fromHex(serialHex);
  if (octets === undefined || octets.byteLength === 0) {
    throw new RangeError(`"${serialHex}" is no serial number`);
  }
  const extensions: Extension[] = [];
  if (reason !== 'unspecified') extensions.push(reasonExtensions[reason]);
  if (invalidityDate !== undefined) {
    extensions.push(
      extension.other(oids.invalidityDate, false, der.generalizedTime(invalidityDate)),
    );
  }
  const serial = der.integerOctets(positiveSerial(octets));
  const date = der.time(entry.date);
  if (extensions.length === 0) return der.sequence(serial, date);
  return der.sequence(serial, date, encodeExtensions(extensions));
}

const reasonExtensions = Object.fromEntries(
  Object.entries(revocationReasons).map(([reason, number]) => [
    reason,
    extension.other(oids.reasonCode, false, der.enumerated(number)),
  ]),
) as Record<RevocationReason, Extension>;
