import { hash } from 'node:crypto';
import { toHex } from '@countersign/base';
import type { CertificateRequest } from '@countersign/x509';
import {
  type Authorization,
  deviceChallenge,
  formatIdentifier,
  isDevice,
} from '../acme-objects.ts';

/**
 * draft-ietf-acme-device-attest §5: of a device its attested key is certified, and no other. Undefined where the request
 * is by that key, or what is wrong with it; of a device that is not attested yet, its order says so.
 */
export function wrongWithAttestedKey(
  csr: CertificateRequest,
  authorizations: readonly Authorization[],
): string | undefined {
  const devices = authorizations.filter(
    ({ identifier, status }) => isDevice(identifier) && status === 'valid',
  );
  if (devices.length === 0) return undefined;
  const key = toHex(hash('sha256', csr.spki.raw, 'buffer'));
  const other = devices.find(
    ({ challenges }) => challenges.find((each) => each.type === deviceChallenge)?.key !== key,
  );
  if (other === undefined) return undefined;
  return `the key of the request is not the one that was attested for "${formatIdentifier(other.identifier)}"`;
}
