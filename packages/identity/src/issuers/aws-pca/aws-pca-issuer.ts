import { hash } from 'node:crypto';
import { CountersignError, messageOf, systemClock } from '@countersign/base';
import { type Certificate, certificatesFromPem, encodePem } from '@countersign/x509';
import { isSelfSigned } from '../ask-issuer.ts';
import type { Issuer } from '../issuer.ts';
import { type AwsPcaAnswer, AwsPcaClient, type AwsPcaClientOptions } from './aws-pca-client.ts';

export interface AwsPcaIssuerOptions extends AwsPcaClientOptions {
  /** ARN of the authority. */
  readonly authority: string;
  /** Of the authority's signatures; the one that its key goes with unless given. */
  readonly signingAlgorithm?: string | undefined;
  /** ARN of a template that takes the names from the request; `EndEntityCertificate/V1` unless given. */
  readonly template?: string | undefined;
}

/** The service issues for a whole number of hours at the least. */
const usualTtlMs = 24 * 3_600_000;

const endEntityTemplate = 'arn:aws:acm-pca:::template/EndEntityCertificate/V1';

/** By the authority's key. */
const signingAlgorithms: Readonly<Record<string, string>> = {
  RSA_2048: 'SHA256WITHRSA',
  RSA_3072: 'SHA256WITHRSA',
  RSA_4096: 'SHA256WITHRSA',
  EC_prime256v1: 'SHA256WITHECDSA',
  EC_secp384r1: 'SHA384WITHECDSA',
  EC_secp521r1: 'SHA512WITHECDSA',
};

/**
 * AWS Private CA, by its SDK. Needs acm-pca:IssueCertificate, GetCertificate, GetCertificateAuthorityCertificate, and
 * DescribeCertificateAuthority where no signing algorithm is given.
 */
export function awsPcaIssuer(options: AwsPcaIssuerOptions): Issuer {
  const { authority, template = endEntityTemplate, clock = systemClock } = options;
  const client = new AwsPcaClient(options);
  return {
    title: client.title,
    async issue({ csr, ttlMs = usualTtlMs, signal }) {
      const pem = encodePem('CERTIFICATE REQUEST', csr);
      const until = Math.ceil((clock.now() + ttlMs) / 1000);
      const ordered = await client.send(
        'order a certificate',
        'IssueCertificateCommand',
        {
          CertificateAuthorityArn: authority,
          Csr: Buffer.from(pem),
          SigningAlgorithm: await signingAlgorithmOf(options, client, signal),
          TemplateArn: template,
          Validity: { Type: 'ABSOLUTE', Value: until },
          // A repeated call orders nothing twice.
          IdempotencyToken: hash('sha256', csr, 'hex').slice(0, 36),
        },
        signal,
      );
      const made = await client.certificate(authority, ordered.CertificateArn ?? '', signal);
      const own = await client.authorityCertificate(authority, signal);
      const chain = certificatesOf(made, client);
      return { chain, roots: [...chain, ...certificatesOf(own, client)].filter(isSelfSigned) };
    },
    close: () => client.close(),
  };
}

/** @throws CountersignError ERR_ISSUER_CONFIG for a key that we know no algorithm for */
export async function signingAlgorithmOf(
  { authority, signingAlgorithm }: Pick<AwsPcaIssuerOptions, 'authority' | 'signingAlgorithm'>,
  client: AwsPcaClient,
  signal: AbortSignal,
): Promise<string> {
  if (signingAlgorithm !== undefined) return signingAlgorithm;
  const described = await client.send(
    'describe the authority',
    'DescribeCertificateAuthorityCommand',
    { CertificateAuthorityArn: authority },
    signal,
  );
  const key = described.CertificateAuthority?.CertificateAuthorityConfiguration?.KeyAlgorithm;
  const algorithm = signingAlgorithms[key ?? ''];
  if (algorithm !== undefined) return algorithm;
  const message = `${client.title} has a key ${key ?? 'that it does not name'}, and no signing algorithm is given`;
  throw new CountersignError('ERR_ISSUER_CONFIG', message);
}

export function certificatesOf(
  { Certificate: own = '', CertificateChain: above = '' }: AwsPcaAnswer,
  { title }: AwsPcaClient,
): readonly Certificate[] {
  try {
    return certificatesFromPem(`${own}\n${above}`);
  } catch (thrown) {
    const message = `answer of ${title}: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_ANSWER', message, { cause: thrown });
  }
}
