import { CountersignError, type ErrorCode } from '@countersign/base';
import type { DerReader } from './der-reader.ts';
import type { GeneralName } from './general-name.ts';
import type { AttributeValue } from './name.ts';
import { oidName } from './oids.ts';
import type { RevocationReason } from './revocation-reason.ts';

/** As encoded; `value` is the content of the OCTET STRING, a view. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLen: number | undefined;
  readonly critical: boolean;
}

/** RFC 5280 §4.2.1.10; minimum is 0 and maximum absent, anything else is refused at parse. */
export interface GeneralSubtree {
  readonly base: GeneralName;
}

export interface NameConstraints {
  readonly permitted: readonly GeneralSubtree[];
  readonly excluded: readonly GeneralSubtree[];
}

export interface AuthorityKeyId {
  readonly keyId: Uint8Array | undefined;
  readonly issuer: readonly GeneralName[] | undefined;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array | undefined;
}

/** ReasonFlags (RFC 5280 §4.2.1.13): the reasons that a CRL may cover. */
export type ReasonFlag = Exclude<RevocationReason, 'unspecified' | 'removeFromCRL'>;

export interface DistributionPoint {
  readonly fullName: readonly GeneralName[];
  readonly relativeName: readonly AttributeValue[] | undefined;
  /** Undefined: all reasons. */
  readonly reasons: ReadonlySet<ReasonFlag> | undefined;
  readonly crlIssuer: readonly GeneralName[];
}

export interface AccessDescription {
  /** `ocsp`, `caIssuers`, or another method's dotted OID. */
  readonly method: string;
  readonly location: GeneralName;
}

export interface PolicyInformation {
  readonly oid: string;
  readonly qualifiers: readonly { readonly oid: string; readonly value: Uint8Array }[];
}

export interface PolicyMapping {
  readonly issuerDomainPolicy: string;
  readonly subjectDomainPolicy: string;
}

export interface PolicyConstraints {
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
}

export interface IssuingDistributionPoint {
  readonly fullName: readonly GeneralName[];
  readonly relativeName: readonly AttributeValue[] | undefined;
  readonly onlyContainsUserCerts: boolean;
  readonly onlyContainsCaCerts: boolean;
  readonly onlySomeReasons: ReadonlySet<ReasonFlag> | undefined;
  readonly indirectCrl: boolean;
  readonly onlyContainsAttributeCerts: boolean;
}

/** The extension with this OID, or undefined. */
export function findExtension(
  extensions: readonly Extension[],
  oid: string,
): Extension | undefined {
  return extensions.find((extension) => extension.oid === oid);
}

/**
 * Takes Extensions (RFC 5280 §4.1.2.9), at least one.
 *
 * @param duplicate code for an OID that occurs twice
 */
export function readExtensions(reader: DerReader, what: string, duplicate: ErrorCode): Extension[] {
  const inner = reader.sequenceOfSome(what);
  const extensions: Extension[] = [];
  const seen = new Set<string>();
  while (!inner.atEnd) {
    const { offset } = inner;
    const extension = readExtension(inner, what);
    const { oid } = extension;
    // RFC 5280 §4.2: not more than one instance of a particular extension
    if (seen.has(oid)) {
      const message = `extension ${oidName(oid)} at offset ${offset} occurs twice`;
      throw new CountersignError(duplicate, message, { fields: { oid, offset } });
    }
    seen.add(oid);
    extensions.push(extension);
  }
  return extensions;
}

function readExtension(reader: DerReader, what: string): Extension {
  const inner = reader.sequence(what);
  const oid = inner.oid(what);
  const critical = inner.defaultFalse(what);
  const value = inner.octetString(what);
  inner.end(what);
  return { oid, critical, value };
}
