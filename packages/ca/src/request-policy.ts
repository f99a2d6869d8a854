import { type Denial, denial, equalBytes } from '@countersign/base';
import {
  attributeOf,
  type CertificateRequest,
  formatKeyKind,
  type KeyKind,
  oids,
  verifyPossession,
} from '@countersign/x509';
import { type CertificateNames, isGrantedKind, namesBeyond, namesOf } from './certificate-names.ts';
import { quotedList } from './dns-name.ts';
import { rsaBits } from './key-kind-config.ts';
import { isServiceKeyType } from './key-usage-by-kind.ts';
import { type CertificateProfile, defaultProfileName } from './profile/certificate-profile.ts';
import type { RequestsConfig } from './requests/requests-config.ts';
import { rsaModulusOf } from './requests/rsa-modulus.ts';
import { judgeKeyWith, type TrialKeys } from './requests/trial-keys.ts';
import { wrongWithModulus } from './requests/weak-rsa.ts';

/**
 * Whether the request's key is one to certify, and its sender holds the private half of it. The kind is judged first:
 * nobody makes us compute with a monstrous key.
 *
 * Denials: ERR_CSR_KEY_WEAK, ERR_CSR_KEY_UNSUPPORTED, ERR_CSR_KEY_REUSED, ERR_CSR_POSSESSION.
 *
 * @param isProved by a handshake with that key
 * @param trialKeys of an authority for trials alone
 */
export function judgeRequestKey(
  csr: CertificateRequest,
  authorityKeys: readonly Uint8Array[],
  isProved = false,
  trialKeys?: TrialKeys,
): { readonly ok: true; readonly kind: KeyKind } | Denial {
  const judged = judgeKeyWith(trialKeys, csr.spki);
  if (!judged.ok) {
    const code = judged.code === 'ERR_KEY_WEAK' ? 'ERR_CSR_KEY_WEAK' : 'ERR_CSR_KEY_UNSUPPORTED';
    return denial(code, `key of the request: ${judged.detail}`, judged.fields);
  }
  const { kind } = judged;
  const unfit = wrongWithKind(kind) ?? wrongWithRsa(csr, kind);
  if (unfit !== undefined) return unfit;
  if (authorityKeys.some((key) => equalBytes(key, csr.spki.raw))) {
    return denial('ERR_CSR_KEY_REUSED', 'key of the request is a key of this authority');
  }
  // RFC 2986 §3: the signature is what proves that the requester holds the key.
  if (!isProved && !verifyPossession(csr)) {
    const sides = `signature does not verify with the request's own ${formatKeyKind(kind)} key`;
    return denial('ERR_CSR_POSSESSION', sides, { algorithm: csr.signatureAlgorithm.oid });
  }
  return judged;
}

/**
 * Whether everything that the request asks for is granted. Its subject is not among that, unless ca.yaml says so:
 * subjects are ours, services are known by their alternative names.
 *
 * Denials: ERR_CSR_CA, ERR_CSR_USAGE, ERR_CSR_EXTENSION_REFUSED, ERR_CSR_COMMON_NAME, ERR_POLICY_NAME and those of
 * `namesOf`.
 */
export function* judgeRequestContent(
  csr: CertificateRequest,
  profile: CertificateProfile,
  granted: { readonly names: CertificateNames; readonly by: string },
  rules: Pick<RequestsConfig, 'commonName' | 'otherExtensions' | 'otherNames'>,
): Generator<Denial, void, void> {
  if (csr.basicConstraints?.ca === true) {
    yield denial(
      'ERR_CSR_CA',
      'the request has the CA flag set, end-entity certificates are issued',
    );
  }
  yield* wrongWithUsages(csr, profile);
  for (const { oid } of rules.otherExtensions === 'refuse' ? csr.extensions : []) {
    if (understoodExtensions.has(oid)) continue;
    const sides = `the request asks for extension "${oid}", none but names and usages are granted by request`;
    yield denial('ERR_CSR_EXTENSION_REFUSED', sides, { oid });
  }
  const misnamed = wrongWithCommonName(csr, granted, rules.commonName);
  if (misnamed !== undefined) yield misnamed;
  if (csr.subjectAltNames.length === 0) return;
  const alternatives = csr.subjectAltNames.filter(
    ({ kind }) => rules.otherNames === 'refuse' || isGrantedKind(kind),
  );
  const asked = namesOf(alternatives, granted.names.devices);
  if (!asked.ok) {
    yield asked;
    return;
  }
  const beyond = namesBeyond(asked.names, granted.names);
  if (beyond.length === 0) return;
  const sides = `the request asks for ${quotedList(beyond)}, ${granted.by} does not grant that`;
  yield denial('ERR_POLICY_NAME', sides, { names: beyond });
}

/** What a request may mention: its value is judged (first four) or is ours anyway. */
const understoodExtensions: ReadonlySet<string> = new Set([
  oids.subjectAltName,
  oids.keyUsage,
  oids.extKeyUsage,
  oids.basicConstraints,
  oids.subjectKeyIdentifier,
]);

/** Denials: ERR_POLICY_KEY_KIND. */
export function judgeKeyKind(
  kind: KeyKind,
  { name, keys }: CertificateProfile,
): Denial | undefined {
  if (keys === undefined || keys.some((each) => isAtLeast(kind, each))) return undefined;
  const found = formatKeyKind(kind);
  const wanted = keys.map(formatKeyKind);
  const who = name === defaultProfileName ? 'service_certificates' : `profile "${name}"`;
  const sides = `is "${found}", ${who} wants ${wanted.map((each) => `"${each}"`).join(' or ')} or longer`;
  return denial('ERR_POLICY_KEY_KIND', `key of the request ${sides}`, {
    found,
    wanted: wanted.join(', '),
  });
}

function* wrongWithUsages(
  csr: CertificateRequest,
  profile: CertificateProfile,
): Generator<Denial, void, void> {
  const who =
    profile.name === defaultProfileName
      ? 'service certificates have'
      : `certificates of profile "${profile.name}" have`;
  for (const usage of csr.keyUsage ?? []) {
    // RFC 8813 §3 takes keyEncipherment away from EC keys, yet common tools ask for it with any key: asking is no harm.
    if (usage === 'keyEncipherment' || profile.keyUsage.includes(usage)) continue;
    const sides = `"${usage}", ${who} ${profile.keyUsage.join(', ')}`;
    yield denial('ERR_CSR_USAGE', `the request asks for key usage ${sides}`, { usage });
  }
  for (const purpose of csr.extKeyUsage ?? []) {
    if (profile.extKeyUsage.includes(purpose)) continue;
    const sides = `"${purpose}", ${who} ${profile.extKeyUsage.join(', ')}`;
    yield denial('ERR_CSR_USAGE', `the request asks for extended key usage ${sides}`, { purpose });
  }
}

function wrongWithRsa(csr: CertificateRequest, kind: KeyKind): Denial | undefined {
  if (kind.type !== 'RSA') return undefined;
  const wrong = wrongWithModulus(rsaModulusOf(csr.spki).value);
  if (wrong === undefined) return undefined;
  return denial('ERR_CSR_KEY_WEAK', `modulus of the request's RSA key ${wrong}`);
}

function wrongWithCommonName(
  { subject }: CertificateRequest,
  granted: { readonly names: CertificateNames; readonly by: string },
  rule: RequestsConfig['commonName'],
): Denial | undefined {
  if (rule === 'ignore') return undefined;
  const found = attributeOf(subject, 'CN');
  if (found === undefined) return undefined;
  const refuse = (sides: string) =>
    denial('ERR_CSR_COMMON_NAME', `the request has the common name "${found}", ${sides}`, {
      commonName: found,
    });
  if (rule === 'refuse') return refuse('and common_name is refuse');
  const { spiffeId, dns, ip } = granted.names;
  const isGranted = [spiffeId?.toString(), ...dns, ...ip].some(
    (name) => name?.toLowerCase() === found.toLowerCase(),
  );
  return isGranted ? undefined : refuse(`${granted.by} does not grant that as a name`);
}

function wrongWithKind(kind: KeyKind): Denial | undefined {
  const found = formatKeyKind(kind);
  if (!isServiceKeyType(kind.type)) {
    const sides = `is "${found}", ECDSA, RSA, Ed25519 and ML-DSA keys are certified`;
    return denial('ERR_CSR_KEY_UNSUPPORTED', `key of the request ${sides}`, { found });
  }
  if (kind.type === 'RSA' && kind.bits > rsaBits.max) {
    const sides = `has ${kind.bits} bits, at most ${rsaBits.max} are certified`;
    return denial('ERR_CSR_KEY_UNSUPPORTED', `RSA key of the request ${sides}`, { found });
  }
  return undefined;
}

/** Of the same algorithm, and no shorter. */
function isAtLeast(kind: KeyKind, wanted: KeyKind): boolean {
  if (kind.type !== wanted.type) return false;
  return sizeOf(kind) >= sizeOf(wanted);
}

function sizeOf(kind: KeyKind): number {
  if (kind.type === 'RSA') return kind.bits;
  if (kind.type === 'ML-DSA') return kind.set;
  return kind.type === 'EC' ? Number(kind.curve.slice(2)) : 256;
}
