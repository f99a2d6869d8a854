import type { DecodedExtensions } from './decoded-extensions.ts';
import type { DerReader } from './der-reader.ts';
import type {
  AccessDescription,
  AuthorityKeyId,
  BasicConstraints,
  DistributionPoint,
  GeneralSubtree,
  IssuingDistributionPoint,
  NameConstraints,
  PolicyConstraints,
  PolicyInformation,
  PolicyMapping,
  ReasonFlag,
} from './extension.ts';
import { type GeneralName, readGeneralName, readGeneralNames } from './general-name.ts';
import { extKeyUsageName, type KeyUsage, keyUsages } from './key-usage.ts';
import { type AttributeValue, readRdn } from './name.ts';
import { oids } from './oids.ts';
import { contextConstructed, contextTag } from './tags.ts';

type ReadExtension = (
  reader: DerReader,
  what: string,
  critical: boolean,
) => Partial<DecodedExtensions>;

/** A row an extension of certificates, by OID. Each takes the whole value and gives the fields that it fills. */
export const extensionReaders: ReadonlyMap<string, ReadExtension> = new Map<string, ReadExtension>([
  [
    oids.basicConstraints,
    (reader, what, critical) => ({
      basicConstraints: readBasicConstraints(reader, what, critical),
    }),
  ],
  [oids.keyUsage, (reader, what) => ({ keyUsage: readKeyUsage(reader, what) })],
  [oids.extKeyUsage, (reader, what) => ({ extKeyUsage: readExtKeyUsage(reader, what) })],
  [oids.subjectAltName, (reader, what) => ({ subjectAltNames: readGeneralNames(reader, what) })],
  [oids.issuerAltName, (reader, what) => ({ issuerAltNames: readGeneralNames(reader, what) })],
  [
    oids.nameConstraints,
    (reader, what) => ({ nameConstraints: readNameConstraints(reader, what) }),
  ],
  [oids.subjectKeyIdentifier, (reader, what) => ({ subjectKeyId: reader.octetString(what) })],
  [
    oids.authorityKeyIdentifier,
    (reader, what) => ({ authorityKeyId: readAuthorityKeyId(reader, what) }),
  ],
  [
    oids.crlDistributionPoints,
    (reader, what) => ({ crlDistributionPoints: readDistributionPoints(reader, what) }),
  ],
  [oids.freshestCrl, (reader, what) => ({ freshestCrl: readDistributionPoints(reader, what) })],
  [
    oids.authorityInfoAccess,
    (reader, what) => ({ authorityInfoAccess: readAccessDescriptions(reader, what) }),
  ],
  [
    oids.certificatePolicies,
    (reader, what) => ({ certificatePolicies: readPolicies(reader, what) }),
  ],
  [
    oids.policyMappings,
    (reader, what) => ({ policyMappings: readMany(reader, what, readPolicyMapping) }),
  ],
  [
    oids.policyConstraints,
    (reader, what) => ({ policyConstraints: readPolicyConstraints(reader, what) }),
  ],
  [
    oids.inhibitAnyPolicy,
    (reader, what) => ({ inhibitAnyPolicy: reader.smallInteger(what, largestCount) }),
  ],
]);

/** Path lengths and skip counts; more than any path has. */
const largestCount = 2 ** 31 - 1;

/** Takes an AuthorityKeyIdentifier (RFC 5280 §4.2.1.1). */
export function readAuthorityKeyId(reader: DerReader, what: string): AuthorityKeyId {
  const inner = reader.sequence(what);
  const keyId =
    inner.nextTag === contextTag(0) ? inner.octetString(what, contextTag(0)) : undefined;
  const issuer =
    inner.nextTag === contextConstructed(1)
      ? readGeneralNames(inner, what, contextConstructed(1))
      : undefined;
  const serial = inner.nextTag === contextTag(2) ? inner.integer(what, contextTag(2)) : undefined;
  // RFC 5280 Appendix A.2: both or neither
  if ((issuer === undefined) !== (serial === undefined)) {
    inner.fail('ERR_DER_VALUE', what, 'issuer and serial number stand together or not at all');
  }
  inner.end(what);
  return { keyId, issuer, serial };
}

/** Takes an IssuingDistributionPoint (RFC 5280 §5.2.5). */
export function readIssuingDistributionPoint(
  reader: DerReader,
  what: string,
): IssuingDistributionPoint {
  const inner = reader.sequence(what);
  const point = readPointName(inner, what);
  const onlyContainsUserCerts = inner.defaultFalse(what, contextTag(1));
  const onlyContainsCaCerts = inner.defaultFalse(what, contextTag(2));
  const onlySomeReasons =
    inner.nextTag === contextTag(3) ? readReasons(inner, what, contextTag(3)) : undefined;
  const indirectCrl = inner.defaultFalse(what, contextTag(4));
  const onlyContainsAttributeCerts = inner.defaultFalse(what, contextTag(5));
  inner.end(what);
  return {
    ...point,
    onlyContainsUserCerts,
    onlyContainsCaCerts,
    onlySomeReasons,
    indirectCrl,
    onlyContainsAttributeCerts,
  };
}

/** Takes a CRLDistributionPoints, which a FreshestCRL is too (RFC 5280 §4.2.1.13, §4.2.1.15). */
export function readDistributionPoints(reader: DerReader, what: string): DistributionPoint[] {
  return readMany(reader, what, readDistributionPoint);
}

/** Takes an AuthorityInfoAccessSyntax (RFC 5280 §4.2.2.1). */
export function readAccessDescriptions(reader: DerReader, what: string): AccessDescription[] {
  return readMany(reader, what, readAccessDescription);
}

function readMany<T>(
  reader: DerReader,
  what: string,
  read: (inner: DerReader, what: string) => T,
): T[] {
  const inner = reader.sequenceOfSome(what);
  const values: T[] = [];
  while (!inner.atEnd) values.push(read(inner, what));
  return values;
}

// RFC 5280 §4.2.1.9
function readBasicConstraints(
  reader: DerReader,
  what: string,
  critical: boolean,
): BasicConstraints {
  const inner = reader.sequence(what);
  const ca = inner.defaultFalse(what);
  const pathLen = inner.atEnd ? undefined : inner.smallInteger(what, largestCount);
  inner.end(what);
  return { ca, pathLen, critical };
}

// RFC 5280 §4.2.1.3: at least one bit
function readKeyUsage(reader: DerReader, what: string): ReadonlySet<KeyUsage> {
  const bits = reader.namedBits(what);
  if (bits.length === 0) reader.fail('ERR_DER_VALUE', what, 'no bit is set');
  const usages = new Set<KeyUsage>();
  for (const bit of bits) {
    const usage = keyUsages[bit];
    if (usage === undefined) reader.fail('ERR_DER_VALUE', what, `bit ${bit} has no meaning`);
    usages.add(usage);
  }
  return usages;
}

function readExtKeyUsage(reader: DerReader, what: string): readonly string[] {
  return readMany(reader, what, (inner) => extKeyUsageName(inner.oid(what)));
}

// RFC 5280 §4.2.1.10
function readNameConstraints(reader: DerReader, what: string): NameConstraints {
  const inner = reader.sequenceOfSome(what);
  const permitted = readSubtrees(inner, what, contextConstructed(0));
  const excluded = readSubtrees(inner, what, contextConstructed(1));
  inner.end(what);
  return { permitted, excluded };
}

function readSubtrees(reader: DerReader, what: string, tag: number): GeneralSubtree[] {
  if (reader.nextTag !== tag) return [];
  const inner = reader.sequenceOfSome(what, tag);
  const subtrees: GeneralSubtree[] = [];
  while (!inner.atEnd) {
    const subtree = inner.sequence(what);
    const base = readGeneralName(subtree, what);
    // RFC 5280 §4.2.1.10: minimum MUST be zero (the default), and maximum MUST be absent
    if (!subtree.atEnd) subtree.fail('ERR_DER_VALUE', what, 'minimum or maximum is encoded');
    subtrees.push({ base });
  }
  return subtrees;
}

// RFC 5280 §4.2.1.13
function readDistributionPoint(reader: DerReader, what: string): DistributionPoint {
  const inner = reader.sequence(what);
  const point = readPointName(inner, what);
  const reasons =
    inner.nextTag === contextTag(1) ? readReasons(inner, what, contextTag(1)) : undefined;
  const crlIssuer =
    inner.nextTag === contextConstructed(2)
      ? readGeneralNames(inner, what, contextConstructed(2))
      : [];
  inner.end(what);
  const isNamed = point.fullName.length > 0 || point.relativeName !== undefined;
  if (!isNamed && crlIssuer.length === 0) {
    inner.fail('ERR_DER_VALUE', what, 'neither a point nor an issuer is named');
  }
  return { ...point, reasons, crlIssuer };
}

function readPointName(
  reader: DerReader,
  what: string,
): {
  readonly fullName: readonly GeneralName[];
  readonly relativeName: readonly AttributeValue[] | undefined;
} {
  const tag = contextConstructed(0);
  if (reader.nextTag !== tag) return { fullName: [], relativeName: undefined };
  const choice = reader.constructed(what, tag);
  const isRelative = choice.nextTag === contextConstructed(1);
  const relativeName = isRelative ? readRdn(choice, what, contextConstructed(1)) : undefined;
  const fullName = isRelative ? [] : readGeneralNames(choice, what, contextConstructed(0));
  choice.end(what);
  return { fullName, relativeName };
}

/** Bit numbers of ReasonFlags; bit 0 is unused. */
export const reasonFlags: readonly (ReasonFlag | undefined)[] = [
  undefined,
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  'privilegeWithdrawn',
  'aACompromise',
];

function readReasons(reader: DerReader, what: string, tag: number): ReadonlySet<ReasonFlag> {
  const flags = reader.namedBits(what, tag).map((bit) => reasonFlags[bit]);
  return new Set(flags.filter((flag) => flag !== undefined));
}

// RFC 5280 §4.2.2.1
function readAccessDescription(reader: DerReader, what: string): AccessDescription {
  const inner = reader.sequence(what);
  const method = inner.oid(what);
  const location = readGeneralName(inner, what);
  inner.end(what);
  return { method: accessMethods.get(method) ?? method, location };
}

const accessMethods = new Map<string, string>([
  [oids.ocsp, 'ocsp'],
  [oids.caIssuers, 'caIssuers'],
]);

// RFC 5280 §4.2.1.4: a policy MUST NOT appear more than once
function readPolicies(reader: DerReader, what: string): PolicyInformation[] {
  const policies = readMany(reader, what, readPolicyInformation);
  const seen = new Set<string>();
  for (const { oid } of policies) {
    if (seen.has(oid)) reader.fail('ERR_DER_VALUE', what, `policy ${oid} occurs twice`);
    seen.add(oid);
  }
  return policies;
}

function readPolicyInformation(reader: DerReader, what: string): PolicyInformation {
  const inner = reader.sequence(what);
  const oid = inner.oid(what);
  const qualifiers = inner.atEnd
    ? []
    : readMany(inner, what, (list) => {
        const qualifier = list.sequence(what);
        const value = { oid: qualifier.oid(what), value: qualifier.any(what) };
        qualifier.end(what);
        return value;
      });
  inner.end(what);
  return { oid, qualifiers };
}

// RFC 5280 §4.2.1.5
function readPolicyMapping(reader: DerReader, what: string): PolicyMapping {
  const inner = reader.sequence(what);
  const mapping = { issuerDomainPolicy: inner.oid(what), subjectDomainPolicy: inner.oid(what) };
  inner.end(what);
  return mapping;
}

// RFC 5280 §4.2.1.11: MUST NOT be empty
function readPolicyConstraints(reader: DerReader, what: string): PolicyConstraints {
  const inner = reader.sequenceOfSome(what);
  const count = (tag: number): number | undefined =>
    inner.nextTag === tag ? inner.smallInteger(what, largestCount, tag) : undefined;
  const requireExplicitPolicy = count(contextTag(0));
  const inhibitPolicyMapping = count(contextTag(1));
  inner.end(what);
  return { requireExplicitPolicy, inhibitPolicyMapping };
}
