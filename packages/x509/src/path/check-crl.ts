import { denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import { oidName, oids } from '../oids.ts';
import { certificateText, nameText, timeText } from './certificate-text.ts';
import { nameKey, sameName } from './compare-names.ts';
import { signatureAlgorithmFinding } from './key-rules.ts';
import type { PathRefused } from './path-request.ts';
import type { SignatureChecks } from './signature-checks.ts';

/**
 * Asks the lists of a certificate's issuer about it (RFC 5280 §6.3.3, for complete lists signed by
 * the issuer's own key).
 *
 * No list of the issuer was given, or none whose scope the certificate is in: nothing is checked,
 * and the answer is yes. Lists were given: one of them must be usable and none of the usable may
 * have the certificate, else the answer is no; a list that is stale or does not verify is thus no
 * better than a revocation, and cannot be used to hide one.
 */
export class CrlChecks {
  readonly #byIssuer = new Map<string, Crl[]>();
  readonly #signatures: SignatureChecks;
  readonly #at: number;

  constructor(crls: readonly Crl[], signatures: SignatureChecks, at: number) {
    for (const crl of crls) {
      const key = nameKey(crl.issuer);
      const lists = this.#byIssuer.get(key) ?? [];
      this.#byIssuer.set(key, lists);
      lists.push(crl);
    }
    this.#signatures = signatures;
    this.#at = at;
  }

  check(certificate: Certificate, issuer: Certificate): PathRefused | undefined {
    if (this.#byIssuer.size === 0) return undefined;
    const lists = this.#byIssuer.get(nameKey(certificate.issuer)) ?? [];
    let unusable: PathRefused | undefined;
    let usable = 0;
    for (const crl of lists) {
      if (!isInScope(certificate, crl)) continue;
      const refused = this.#checkList(crl, issuer);
      if (refused !== undefined) {
        unusable ??= refused;
        continue;
      }
      usable += 1;
      const revoked = checkEntry(certificate, crl);
      if (revoked !== undefined) return revoked;
    }
    return usable > 0 ? undefined : unusable;
  }

  #checkList(crl: Crl, issuer: Certificate): PathRefused | undefined {
    const finding = unsupported(crl) ?? this.#freshness(crl) ?? numberFinding(crl);
    if (finding !== undefined) return crlRefusal(crl, ...finding);
    const weak = signatureAlgorithmFinding(crl.signatureAlgorithm);
    if (weak !== undefined) return crlRefusal(crl, 'ERR_CRL_SIGNATURE', weak.detail);
    // RFC 5280 §6.3.3 (f): where the issuer has a key usage, it must allow CRLs
    if (issuer.keyUsage !== undefined && !issuer.keyUsage.has('cRLSign')) {
      const listed = [...issuer.keyUsage].join(', ');
      return crlRefusal(
        crl,
        'ERR_CRL_ISSUER',
        `is of a CA with key usage ${listed}, without cRLSign`,
      );
    }
    // RFC 5280 §6.3.3 (g)
    if (this.#signatures.verify(crl, issuer.spki)) return undefined;
    const detail = `has a signature that does not verify with the key of "${certificateText(issuer)}"`;
    return crlRefusal(crl, 'ERR_CRL_SIGNATURE', detail);
  }

  #freshness({ thisUpdate, nextUpdate }: Crl): CrlFinding | undefined {
    const now = Math.floor(this.#at / 1000) * 1000;
    if (!(now >= thisUpdate)) {
      const detail = `is from the future: thisUpdate ${timeText(thisUpdate)}, now ${timeText(now)}`;
      return ['ERR_CRL_STALE', detail];
    }
    // RFC 5280 §5.1.2.5: conforming issuers say when the next list is due; without that, nothing is
    // known to be fresh
    if (nextUpdate === undefined)
      return ['ERR_CRL_STALE', 'does not say when its next update is due'];
    if (now <= nextUpdate) return undefined;
    return ['ERR_CRL_STALE', `is stale: nextUpdate ${timeText(nextUpdate)}, now ${timeText(now)}`];
  }
}

type CrlCode =
  | 'ERR_CRL_SIGNATURE'
  | 'ERR_CRL_ISSUER'
  | 'ERR_CRL_STALE'
  | 'ERR_CRL_NUMBER'
  | 'ERR_CRL_UNSUPPORTED';

/** The code, and what continues the sentence `revocation list of "CN=…" …`. */
type CrlFinding = readonly [code: CrlCode, detail: string];

function unsupported(crl: Crl): CrlFinding | undefined {
  const [oid] = crl.unknownCriticalExtensions;
  // RFC 5280 §5.2: a list with a critical extension that cannot be processed must not be used
  if (oid !== undefined) {
    return [
      'ERR_CRL_UNSUPPORTED',
      `has the critical extension "${oidName(oid)}", which is not known here`,
    ];
  }
  if (crl.deltaCrlBase !== undefined) {
    return [
      'ERR_CRL_UNSUPPORTED',
      `is a delta of list ${crl.deltaCrlBase}, a complete list is needed`,
    ];
  }
  const scope = crl.issuingDistributionPoint;
  if (scope?.indirectCrl === true) {
    return ['ERR_CRL_UNSUPPORTED', 'is indirect: it may list certificates of other issuers'];
  }
  if (scope?.onlySomeReasons !== undefined) {
    return ['ERR_CRL_UNSUPPORTED', 'covers some revocation reasons only'];
  }
  return undefined;
}

// RFC 5280 §5.2.3: every list has a number, and never as a critical extension
function numberFinding(crl: Crl): CrlFinding | undefined {
  if (crl.crlNumber === undefined) return ['ERR_CRL_NUMBER', 'has no CRL number'];
  const extension = crl.extensions.find(({ oid }) => oid === oids.crlNumber);
  return extension?.critical === true
    ? ['ERR_CRL_NUMBER', 'has its CRL number as a critical extension, it must not be']
    : undefined;
}

// RFC 5280 §6.3.3 (b) (2): a list may be about part of the issuer's certificates
function isInScope(certificate: Certificate, crl: Crl): boolean {
  const scope = crl.issuingDistributionPoint;
  if (scope === undefined) return true;
  const ca = certificate.basicConstraints?.ca === true;
  if (scope.onlyContainsAttributeCerts) return false;
  if (ca ? scope.onlyContainsUserCerts : scope.onlyContainsCaCerts) return false;
  const points = scope.fullName.flatMap((name) => (name.kind === 'uri' ? [name.value] : []));
  if (points.length === 0) return scope.fullName.length === 0 && scope.relativeName === undefined;
  const named = certificate.crlDistributionPoints?.flatMap((point) => point.fullName) ?? [];
  return named.some((name) => name.kind === 'uri' && points.includes(name.value));
}

function checkEntry(certificate: Certificate, crl: Crl): PathRefused | undefined {
  const entry = crl.entries.get(certificate.serialHex);
  if (entry === undefined || !sameName(certificate.issuer, crl.issuer)) return undefined;
  const subject = certificateText(certificate);
  const { serialHex } = certificate;
  const { reason, date } = entry;
  const entryText = `on the list of "${nameText(crl.issuer)}" since ${timeText(date)}, reason ${reason}`;
  const detail = `certificate "${subject}" is revoked: serial "${serialHex}" is ${entryText}`;
  return { ...denial('ERR_CERT_REVOKED', detail, { subject, serialHex, reason, date }), subject };
}

function crlRefusal(crl: Crl, code: CrlCode, detail: string): PathRefused {
  const issuer = nameText(crl.issuer);
  return denial(code, `revocation list of "${issuer}" ${detail}`, { issuer });
}
