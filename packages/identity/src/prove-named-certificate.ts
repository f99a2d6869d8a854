import type { KeyObject } from 'node:crypto';
import {
  type Clock,
  CountersignError,
  equalBytes,
  errorOfDenial,
  messageOf,
} from '@countersign/base';
import { parseBundleDocument, type TrustBundle, verifyPeer } from '@countersign/spiffe';
import type { IssueResponse } from '@countersign/wire';
import { type Certificate, parseCertificate, spkiOf } from '@countersign/x509';

/** A certificate without a SPIFFE ID, for programs that know DNS names and addresses alone. */
export interface NamedCertificate {
  /** Leaf first, without the root. */
  readonly chain: readonly [Certificate, ...Certificate[]];
  readonly privateKey: KeyObject;
  readonly bundle: TrustBundle;
}

/**
 * The certificate in an authority's answer, proved as a peer would prove it: our key, and a chain that leads to the
 * bundle that came with it.
 *
 * @throws CountersignError ERR_IDENTITY_RESPONSE, with what did not hold as its cause
 */
export function proveNamedCertificate(options: {
  readonly response: IssueResponse;
  /** The key that the request was made with. */
  readonly privateKey: KeyObject;
  readonly clock: Clock;
}): NamedCertificate {
  const { response, privateKey, clock } = options;
  try {
    const [leaf, ...signers] = response.chain.map((der) => parseCertificate(der));
    if (leaf === undefined) throw new Error('the chain is empty');
    if (!equalBytes(leaf.spki.raw, spkiOf(privateKey).raw)) throw new Error('it has another key');
    const bundle = parseBundleDocument(JSON.stringify(response.bundle), response.trustDomain);
    const verified = verifyPeer({
      chain: [leaf, ...signers],
      bundles: { bundle: () => undefined, authorities: () => bundle.authorities },
      at: clock.now(),
      purpose: leaf.extKeyUsage?.includes('serverAuth') === false ? 'client' : 'server',
      profile: 'any',
    });
    if (!verified.ok) throw errorOfDenial(verified);
    return { chain: [leaf, ...signers], privateKey, bundle };
  } catch (thrown) {
    const message = `check the issued certificate: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_IDENTITY_RESPONSE', message, { cause: thrown });
  }
}
