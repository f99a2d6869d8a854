import { equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { type Crl, type CrlEntry, entriesOf } from '../crl.ts';
import { type DistributionPoint, findExtension, type ReasonFlag } from '../extension.ts';
import { reasonFlags } from '../extension-readers.ts';
import { formatGeneralName, type GeneralName } from '../general-name.ts';
import type { AttributeValue, Name } from '../name.ts';
import { oids } from '../oids.ts';
import { nameKey, sameName } from './compare-names.ts';

/** What a list says, by its scope, about one certificate. */
export interface CrlScope {
  /** The reasons for which a revocation would be on the list. */
  readonly reasons: ReadonlySet<ReasonFlag>;
  /** A distribution point of the certificate names the list's issuer as its `cRLIssuer`. */
  readonly designated: boolean;
}

export const allReasons: ReadonlySet<ReasonFlag> = new Set(
  reasonFlags.filter((flag) => flag !== undefined),
);

/**
 * Undefined where the certificate is not in the scope of the list (RFC 5280 §6.3.3 (b) and (d)).
 * Lists are found by what they say of themselves: the certificate's points are names, not addresses
 * that anything is fetched from.
 */
export function crlScopeOf(certificate: Certificate, crl: Crl): CrlScope | undefined {
  if (!isOfItsKind(certificate, crl)) return undefined;
  const listed = crl.issuingDistributionPoint?.onlySomeReasons ?? allReasons;
  const reasons = new Set<ReasonFlag>();
  let designated = false;
  for (const point of pointsOf(certificate)) {
    if (!isPointOf(point, certificate, crl)) continue;
    designated ||= point.crlIssuer.length > 0;
    // RFC 5280 §6.3.3 (d)
    for (const reason of listed) if (point.reasons?.has(reason) !== false) reasons.add(reason);
  }
  return reasons.size === 0 ? undefined : { reasons, designated };
}

/** Who may have signed lists about the certificate. */
export function crlIssuersOf(certificate: Certificate): readonly Name[] {
  const points = certificate.crlDistributionPoints ?? [];
  const named = points.flatMap(({ crlIssuer }) => directoryNames(crlIssuer));
  const issuers = [certificate.issuer, ...named];
  return [...new Map(issuers.map((name) => [nameKey(name), name])).values()];
}

/** The certificate's entry (RFC 5280 §6.3.3 (i), (j)), whatever its reason. */
export function crlEntryOf(certificate: Certificate, crl: Crl): CrlEntry | undefined {
  return entriesOf(crl, certificate.serialHex).find(({ certificateIssuer }) =>
    certificateIssuer === undefined
      ? sameName(crl.issuer, certificate.issuer)
      : directoryNames(certificateIssuer).some((name) => sameName(name, certificate.issuer)),
  );
}

/** Whether the delta updates that complete list, by issuer, scope, key and number. */
export function isDeltaOf(delta: Crl, complete: Crl): boolean {
  const { crlNumber: newer, deltaCrlBase: base } = delta;
  const { crlNumber: number } = complete;
  if (newer === undefined || base === undefined || number === undefined) return false;
  // RFC 5280 §5.2.4 (c), (d)
  if (number < base || number >= newer) return false;
  // RFC 5280 §6.3.3 (c): one issuer, one scope, one key
  return (
    sameName(delta.issuer, complete.issuer) &&
    sameOrAbsent(scopeBytes(delta), scopeBytes(complete), false) &&
    sameOrAbsent(delta.authorityKeyId?.keyId, complete.authorityKeyId?.keyId, true)
  );
}

// RFC 5280 §6.3.3 (b) (2) (ii) to (iv)
function isOfItsKind(certificate: Certificate, { issuingDistributionPoint: scope }: Crl): boolean {
  if (scope === undefined) return true;
  const isCa = certificate.basicConstraints?.ca === true;
  if (scope.onlyContainsAttributeCerts) return false;
  return isCa ? !scope.onlyContainsUserCerts : !scope.onlyContainsCaCerts;
}

/**
 * The certificate's points, and the one that every certificate has: whatever its issuer publishes
 * under its own name (RFC 5280 §6.3.3, last paragraph).
 */
function pointsOf(certificate: Certificate): DistributionPoint[] {
  const issuer: GeneralName = { kind: 'directory', name: certificate.issuer };
  const own: DistributionPoint = {
    fullName: [issuer, ...certificate.issuerAltNames],
    relativeName: undefined,
    reasons: undefined,
    crlIssuer: [],
  };
  return [...(certificate.crlDistributionPoints ?? []), own];
}

function isPointOf(point: DistributionPoint, certificate: Certificate, crl: Crl): boolean {
  const scope = crl.issuingDistributionPoint;
  const named = directoryNames(point.crlIssuer);
  // RFC 5280 §6.3.3 (b) (1)
  const isIssuer =
    point.crlIssuer.length === 0
      ? sameName(crl.issuer, certificate.issuer)
      : scope?.indirectCrl === true && named.some((name) => sameName(name, crl.issuer));
  if (!isIssuer) return false;
  // RFC 5280 §6.3.3 (b) (2) (i)
  const published = scope === undefined ? [] : pointNames(scope, crl.issuer);
  if (published.length === 0) return true;
  const wanted = pointNames(point, named[0] ?? certificate.issuer);
  const names = wanted.length > 0 ? wanted : point.crlIssuer;
  const keys = new Set(published.map(generalNameKey));
  return names.some((name) => keys.has(generalNameKey(name)));
}

/** A relative name continues the name of the list's issuer (RFC 5280 §4.2.1.13). */
function pointNames(
  point: {
    readonly fullName: readonly GeneralName[];
    readonly relativeName: readonly AttributeValue[] | undefined;
  },
  base: Name,
): readonly GeneralName[] {
  if (point.relativeName === undefined) return point.fullName;
  const rdns = [...base.rdns, point.relativeName];
  return [{ kind: 'directory', name: { rdns, raw: new Uint8Array() } }];
}

function generalNameKey(name: GeneralName): string {
  return name.kind === 'directory' ? `directory ${nameKey(name.name)}` : formatGeneralName(name);
}

function directoryNames(names: readonly GeneralName[]): Name[] {
  return names.flatMap((name) => (name.kind === 'directory' ? [name.name] : []));
}

function scopeBytes(crl: Crl): Uint8Array | undefined {
  return findExtension(crl.extensions, oids.issuingDistributionPoint)?.value;
}

function sameOrAbsent(
  a: Uint8Array | undefined,
  b: Uint8Array | undefined,
  eitherMayBeAbsent: boolean,
): boolean {
  if (a !== undefined && b !== undefined) return equalBytes(a, b);
  return eitherMayBeAbsent || a === b;
}
