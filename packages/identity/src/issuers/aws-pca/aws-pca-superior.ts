import { hash } from 'node:crypto';
import { systemClock } from '@countersign/base';
import type { IntermediateSigner } from '@countersign/spiffe';
import { encodePem } from '@countersign/x509';
import { isSelfSigned } from '../ask-issuer.ts';
import { AwsPcaClient } from './aws-pca-client.ts';
import { type AwsPcaIssuerOptions, certificatesOf, signingAlgorithmOf } from './aws-pca-issuer.ts';

/** The service has one for each path length up to 3. */
const templateOf = (pathLen: number) =>
  `arn:aws:acm-pca:::template/SubordinateCACertificate_PathLen${Math.min(pathLen, 3)}/V1`;

/**
 * AWS Private CA above an authority of ours: IssueCertificate with the template of a subordinate, by its path length. The
 * service has to keep the key identifier of the request; what it answers with another one is refused by who asked.
 */
export function awsPcaSuperior(options: AwsPcaIssuerOptions): IntermediateSigner {
  const { authority, template, clock = systemClock } = options;
  const client = new AwsPcaClient({ ...options, clock });
  return {
    title: client.title,
    async sign({ csr, pathLen, notAfter, signal }) {
      const { CertificateArn: arn = '' } = await client.send(
        'order the certificate of an intermediate',
        'IssueCertificateCommand',
        {
          CertificateAuthorityArn: authority,
          Csr: Buffer.from(encodePem('CERTIFICATE REQUEST', csr)),
          SigningAlgorithm: await signingAlgorithmOf(options, client, signal),
          TemplateArn: template ?? templateOf(pathLen),
          Validity: { Type: 'ABSOLUTE', Value: notAfter / 1000 },
          IdempotencyToken: hash('sha256', `${notAfter} ${hash('sha256', csr)}`).slice(0, 36),
        },
        signal,
      );
      const made = await client.certificate(authority, arn, signal);
      const own = await client.authorityCertificate(authority, signal);
      const chain = certificatesOf(made, client);
      return { chain, roots: [...chain, ...certificatesOf(own, client)].filter(isSelfSigned) };
    },
    close: () => client.close(),
  };
}
