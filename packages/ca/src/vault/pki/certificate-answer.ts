import type { KeyObject } from 'node:crypto';
import { toBase64 } from '@countersign/base';
import { type Certificate, parseCertificate } from '@countersign/x509';
import type { Values } from '../vault-fields.ts';
import { isSelfIssued, pemOf } from './mount-issuers.ts';

export const formats = ['pem', 'der', 'pem_bundle'] as const;
export type Format = (typeof formats)[number];

export interface CertificateAnswer {
  readonly der: Uint8Array;
  /** Its issuer first, the root last where it is known. */
  readonly above: readonly Certificate[];
  readonly format: Format;
  readonly withoutRoot: boolean;
  /** Made here for whoever asks. */
  readonly key?: { readonly key: KeyObject; readonly isPkcs8: boolean } | undefined;
}

/** What signing answers, in one of its formats. */
export function certificateAnswer(answer: CertificateAnswer): Values {
  const { der, above, format, withoutRoot, key } = answer;
  const leaf = parseCertificate(der);
  const isDer = format === 'der';
  const write = (each: Certificate): string => (isDer ? toBase64(each.raw) : pemOf(each));
  const chain = withoutRoot ? above.filter((each) => !isSelfIssued(each)) : above;
  const written = key === undefined ? undefined : writtenKey(key, isDer);
  const bundle = [...(written === undefined ? [] : [written]), pemOf(leaf), ...chain.map(pemOf)];
  const [issuing] = above;
  return {
    ca_chain: chain.map(write),
    certificate: format === 'pem_bundle' ? bundle.join('\n') : write(leaf),
    expiration: Math.floor(leaf.notAfter / 1000),
    issuing_ca: issuing === undefined ? '' : write(issuing),
    not_before: Math.floor(leaf.notBefore / 1000),
    ...(written !== undefined && {
      private_key: written,
      private_key_type: keyTypes[key?.key.asymmetricKeyType ?? ''] ?? '',
    }),
    serial_number: formatSerial(leaf.serialHex),
  };
}

/** `01:ab:…` */
export function formatSerial(serialHex: string): string {
  const even = serialHex.length % 2 === 0 ? serialHex : `0${serialHex}`;
  return even.match(/../g)?.join(':') ?? '';
}

/** Lowercase hex of a serial as clients write it; undefined where it is none. */
export function parseSerial(text: string): string | undefined {
  const hex = text.trim().toLowerCase().replaceAll(/[:-]/g, '');
  return /^(?:[0-9a-f]{2}){1,32}$/.test(hex) ? hex.replace(/^(?:00)+(?=..)/, '') : undefined;
}

export const keyTypes: Readonly<Record<string, string>> = {
  rsa: 'rsa',
  ec: 'ec',
  ed25519: 'ed25519',
};

/** The traditional form unless PKCS #8 is asked for; Ed25519 has no other. */
function writtenKey(
  { key, isPkcs8 }: NonNullable<CertificateAnswer['key']>,
  isDer: boolean,
): string {
  const traditional: Readonly<Record<string, 'pkcs1' | 'sec1'>> = { rsa: 'pkcs1', ec: 'sec1' };
  const type = isPkcs8 ? 'pkcs8' : (traditional[key.asymmetricKeyType ?? ''] ?? 'pkcs8');
  if (isDer)
    return toBase64(new Uint8Array(key.export({ type: type as 'pkcs8', format: 'der' }) as Buffer));
  return String(key.export({ type: type as 'pkcs8', format: 'pem' })).trimEnd();
}
