import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { AwsPcaSdk } from '../src/issuers/aws-pca/aws-pca-client.ts';

const directory = join(homedir(), '.cache', 'countersign-foreign');
const program = join(directory, 'moto', 'bin', 'moto_server');

export async function pcaSdk(): Promise<AwsPcaSdk | string> {
  if (!existsSync(program)) return 'no moto_server (run .ci/foreign-tools)';
  try {
    const require = createRequire(join(directory, 'package.json'));
    const path = require.resolve('@aws-sdk/client-acm-pca');
    return (await import(pathToFileURL(path).href)) as AwsPcaSdk;
  } catch {
    return 'no @aws-sdk/client-acm-pca (run .ci/foreign-tools)';
  }
}

export interface MotoPca {
  readonly url: string;
  /** ARN of an authority with a certificate of its own. */
  readonly authority: string;
  stop(): void;
}

const python = join(directory, 'moto', 'bin', 'python3');
const withSubordinates = fileURLToPath(new URL('foreign/moto_subordinates.py', import.meta.url));

/**
 * AWS Private CA as moto plays it: a root that issues.
 *
 * @param options `knowsSubordinates`: with the templates that moto lacks, as the service documents them
 */
export async function startMotoPca(
  sdk: AwsPcaSdk,
  { knowsSubordinates = false }: { readonly knowsSubordinates?: boolean } = {},
): Promise<MotoPca> {
  const [command, ...script] = knowsSubordinates ? [python, withSubordinates] : [program];
  const child = spawn(command ?? program, [...script, '-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`moto_server ended: ${said}`)));
  });
  // biome-ignore lint/suspicious/noExplicitAny: what a test sets up with is more than what is used
  const all = sdk as any;
  const client = new all.ACMPCAClient({ region: 'eu-central-1', endpoint: url });
  const { CertificateAuthorityArn: authority } = await client.send(
    new all.CreateCertificateAuthorityCommand({
      CertificateAuthorityType: 'ROOT',
      CertificateAuthorityConfiguration: {
        ...{ KeyAlgorithm: 'RSA_2048', SigningAlgorithm: 'SHA256WITHRSA' },
        Subject: { CommonName: 'AWS root' },
      },
    }),
  );
  const { Csr } = await client.send(
    new all.GetCertificateAuthorityCsrCommand({ CertificateAuthorityArn: authority }),
  );
  const { CertificateArn } = await client.send(
    new all.IssueCertificateCommand({
      ...{ CertificateAuthorityArn: authority, Csr: Buffer.from(Csr) },
      ...{ SigningAlgorithm: 'SHA256WITHRSA', Validity: { Type: 'YEARS', Value: 10 } },
      TemplateArn: 'arn:aws:acm-pca:::template/RootCACertificate/V1',
    }),
  );
  const asked = { CertificateAuthorityArn: authority, CertificateArn };
  const { Certificate } = await client.send(new all.GetCertificateCommand(asked));
  await client.send(
    new all.ImportCertificateAuthorityCertificateCommand({
      ...{ CertificateAuthorityArn: authority, Certificate: Buffer.from(Certificate) },
    }),
  );
  client.destroy();
  return { url, authority, stop: () => child.kill('SIGKILL') };
}
