import type { Denial } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import { refuseCertificate as refuse, strangersText } from './refuse-certificate.ts';
import { parseSpiffeId, type SpiffeId, spiffeIdOf } from './spiffe-id.ts';

/**
 * The rules of X.509-SVID for the certificate that authenticates. Validity, signature and trust are the path's.
 *
 * @returns the SPIFFE ID, or a denial ERR_SVID_URI, ERR_SVID_ID, ERR_SVID_CA, ERR_SVID_KEY_USAGE
 */
export function leafSpiffeId(
  leaf: Certificate,
): { readonly ok: true; readonly spiffeId: SpiffeId } | Denial {
  // X509-SVID §2: exactly one URI name; validators refuse more than one.
  const uris = uriNames(leaf);
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1) {
    return refuse(leaf, 'ERR_SVID_URI', `has ${uris.length} URI names, exactly 1 is needed`, {
      uris: uris.slice(0, 5).map(strangersText),
    });
  }
  const spiffeId = spiffeIdOf(uri);
  if (spiffeId === undefined) {
    return refuse(leaf, 'ERR_SVID_ID', wrongWith(uri), { uri: strangersText(uri) });
  }
  // X509-SVID §3.1: a leaf's SPIFFE ID has a path; without one it would speak for the whole trust domain.
  if (spiffeId.path === '') {
    return refuse(leaf, 'ERR_SVID_ID', `has the SPIFFE ID "${uri}", which has no path`, { uri });
  }
  // X509-SVID §4.1 and §5.2: cA is false.
  if (leaf.basicConstraints?.ca === true) {
    return refuse(leaf, 'ERR_SVID_CA', 'has the CA flag set, a leaf must not', { uri });
  }
  // X509-SVID §4.3: digitalSignature set, keyCertSign and cRLSign not; an absent extension sets nothing.
  // That the extension be critical binds its issuer; validators, ours as others, do not ask for it.
  const usage = leaf.keyUsage ?? new Set();
  if (!usage.has('digitalSignature') || usage.has('keyCertSign') || usage.has('cRLSign')) {
    const found = usage.size === 0 ? 'none' : [...usage].join(', ');
    return refuse(
      leaf,
      'ERR_SVID_KEY_USAGE',
      `has key usage ${found}, a leaf needs digitalSignature without keyCertSign and cRLSign`,
      { uri, keyUsage: [...usage] },
    );
  }
  return { ok: true, spiffeId };
}

/**
 * The rules of X.509-SVID for an intermediate.
 *
 * @returns undefined where they are kept, else a denial ERR_SVID_SIGNER, ERR_SVID_ID
 */
export function wrongWithIntermediate(certificate: Certificate): Denial | undefined {
  // X509-SVID §3.2: a signing certificate has keyCertSign set.
  if (certificate.keyUsage?.has('keyCertSign') !== true) {
    const found =
      certificate.keyUsage === undefined ? 'none' : [...certificate.keyUsage].join(', ');
    return refuse(certificate, 'ERR_SVID_SIGNER', `has key usage ${found}, without keyCertSign`);
  }
  return wrongWithAuthority(certificate);
}

/**
 * The rules of X.509-SVID for a trust anchor, which the operator chose: its key usage may be absent, as it is in many
 * older roots, but where it is there it has keyCertSign.
 */
export function wrongWithAuthority(certificate: Certificate): Denial | undefined {
  // X509-SVID §4.1: signing certificates set cA to true.
  if (certificate.basicConstraints?.ca !== true) {
    return refuse(certificate, 'ERR_SVID_SIGNER', 'does not have the CA flag set');
  }
  if (certificate.keyUsage?.has('keyCertSign') === false) {
    return refuse(certificate, 'ERR_SVID_SIGNER', 'has a key usage without keyCertSign');
  }
  // X509-SVID §3.2: if present, its SPIFFE ID has no path. That it is of the leaf's trust domain is a SHOULD.
  for (const uri of uriNames(certificate).filter(hasSpiffeScheme)) {
    const spiffeId = spiffeIdOf(uri);
    if (spiffeId === undefined) {
      return refuse(certificate, 'ERR_SVID_ID', wrongWith(uri), { uri: strangersText(uri) });
    }
    if (spiffeId.path === '') continue;
    return refuse(
      certificate,
      'ERR_SVID_ID',
      `has the SPIFFE ID "${uri}" with a path, a signing certificate must have none`,
      { uri },
    );
  }
  return undefined;
}

/** Whether a certificate claims to be of SPIFFE, so that its rules apply whatever the profile. */
export function claimsSpiffeId(certificate: Certificate): boolean {
  return uriNames(certificate).some(hasSpiffeScheme);
}

function uriNames(certificate: Certificate): string[] {
  return certificate.subjectAltNames.flatMap((name) => (name.kind === 'uri' ? [name.value] : []));
}

/** RFC 3986 §3.1: schemes are case-insensitive, so a shouted one is still a claim, and is refused as malformed. */
function hasSpiffeScheme(uri: string): boolean {
  return /^spiffe:/i.test(uri);
}

function wrongWith(uri: string): string {
  try {
    parseSpiffeId(uri);
  } catch (thrown) {
    if (thrown instanceof Error) return `has a URI name that is not a SPIFFE ID: ${thrown.message}`;
  }
  return 'has a URI name that is not a SPIFFE ID';
}
