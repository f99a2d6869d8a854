import { serialRule } from './issue-messages.ts';
import { readMessage } from './read-message.ts';

/** A certificate that the authority issued for a key, and how it stands. */
export interface CertificateOfKey {
  readonly serial: string;
  readonly spiffeId?: string;
  /** Every name of it, the SPIFFE ID's URI included. */
  readonly names: readonly string[];
  /** Milliseconds since the Unix epoch, as is `notAfter`. */
  readonly issuedAt: number;
  readonly notAfter: number;
  /** An expired one stays what it was. */
  readonly status: 'good' | 'revoked';
}

/** The answer to `GET /v1/admin/certificates?key=HEX`, on the admin socket: newest first, at most 100. */
export function parseCertificatesOfKey(json: unknown): readonly CertificateOfKey[] {
  const what = 'certificates answer';
  const readOne = (item: unknown, at: string): CertificateOfKey =>
    readMessage(
      `${what} ${at}`,
      item,
      (m) => {
        const spiffeId = m.optional('spiffeId', (name) => m.text(name, { max: 2048 }));
        return {
          serial: m.text('serial', serialRule),
          ...(spiffeId !== undefined && { spiffeId }),
          names: m.listOfTexts('names', { maxItems: 1000 }),
          issuedAt: m.integer('issuedAt', { min: 0 }),
          notAfter: m.integer('notAfter', { min: 0 }),
          status: m.oneOf('status', ['good', 'revoked']),
        };
      },
      { unknown: 'ignore' },
    );
  const read = { unknown: 'ignore' } as const;
  return readMessage(what, json, (m) => m.list('certificates', { maxItems: 1000 }, readOne), read);
}

export function formatCertificatesOfKey(certificates: readonly CertificateOfKey[]): string {
  return JSON.stringify({ certificates });
}
