import type { CertificateOfKey } from '@countersign/wire';
import type { Ledger } from './ledger/ledger.ts';

/**
 * What was issued for a key, newest first, at most 100.
 *
 * @param spkiHash SHA-256 of the key's SubjectPublicKeyInfo, lowercase hex
 */
export async function certificatesOfKey(
  ledger: Ledger,
  spkiHash: string,
): Promise<CertificateOfKey[]> {
  const found = await ledger.findCertificates({ spkiHash, limit: 100 });
  return Promise.all(
    found.map(async ({ serialHex, spiffeId, names, issuedAt, notAfter }) => {
      const { status } = await ledger.certificateStatus(serialHex);
      return {
        serial: serialHex,
        ...(spiffeId !== undefined && { spiffeId }),
        ...{ names, issuedAt, notAfter },
        status: status === 'revoked' ? status : 'good',
      };
    }),
  );
}
