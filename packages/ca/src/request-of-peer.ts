import type { VerifiedPeer } from '@countersign/spiffe';
import { buildName, type CertificateRequest } from '@countersign/x509';

const nothing = new Uint8Array();

/** What a peer asks for that shows its certificate and sends no request: the same again for the same key. */
export function requestOfPeer({ leaf }: VerifiedPeer): CertificateRequest {
  return {
    ...{ raw: nothing, tbs: nothing, signature: nothing },
    subject: buildName([]),
    spki: leaf.spki,
    signatureAlgorithm: leaf.signatureAlgorithm,
    ...{ extensions: [], subjectAltNames: [], issuerAltNames: [], unknownCriticalExtensions: [] },
    ...{ challengePassword: undefined, decryptKeyId: undefined },
    ...{ asymmetricDecryptKeyId: undefined, basicConstraints: undefined, keyUsage: undefined },
    ...{ extKeyUsage: undefined, nameConstraints: undefined, subjectKeyId: undefined },
    ...{ authorityKeyId: undefined, crlDistributionPoints: undefined, freshestCrl: undefined },
    ...{ authorityInfoAccess: undefined, certificatePolicies: undefined },
    ...{ policyMappings: undefined, policyConstraints: undefined, inhibitAnyPolicy: undefined },
  };
}
