import { der } from '../der-writer.ts';
import { cmsOids } from './cms-oids.ts';

/** DER of a `certs-only` message (RFC 5652 §5, RFC 8551 §3.8): SignedData that nobody signed, for its certificates. */
export function buildCertsOnly(certificates: readonly Uint8Array[]): Uint8Array {
  const signedData = der.sequence(
    der.integer(1),
    der.setOf(),
    der.sequence(der.oid(cmsOids.data)),
    // A SET OF, sorted as DER has it: the order says nothing, a reader follows the names.
    der.contextSetOf(0, ...certificates),
    der.setOf(),
  );
  return der.sequence(der.oid(cmsOids.signedData), der.explicit(0, signedData)).slice();
}
