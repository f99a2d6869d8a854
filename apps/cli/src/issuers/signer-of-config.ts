import { resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import { type Clock, CountersignError, type Log, Secret } from '@countersign/base';
import type { WrittenSigner } from '@countersign/config';
import {
  acmeIssuer,
  awsPcaIssuer,
  type Issuer,
  type RootsSource,
  rootsOfFile,
  type SecretSource,
  type StepCaCredential,
  secretOfFile,
  stepCaIssuer,
  type VaultAuth,
  vaultIssuer,
} from '@countersign/identity';
import { certificatesFromPem } from '@countersign/x509';
import type { Cli } from '../cli.ts';

export interface IssuerSurroundings {
  readonly cli: Pick<Cli, 'env'>;
  /** Of the file that the issuer is written in. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** An issuer as a file has it. Secrets are read when they are needed, not before. */
export function signerOfConfig(written: WrittenSigner, around: IssuerSurroundings): Issuer {
  const { vault, step_ca: stepCa, acme, aws_pca: awsPca } = written;
  if (vault !== undefined) return vaultOf(vault, around);
  if (stepCa !== undefined) return stepCaOf(stepCa, around);
  if (acme !== undefined) return acmeOf(acme, around);
  if (awsPca !== undefined) return awsPcaOf(awsPca, around);
  throw new TypeError('the schema lets one of them through');
}

/** Who is trusted, where the file says; undefined: whom the issuer names. */
export function rootsOfConfig(
  { roots }: Pick<WrittenSigner, 'roots'>,
  { directory }: IssuerSurroundings,
): RootsSource | undefined {
  if (roots === undefined) return undefined;
  if (roots !== 'system') return rootsOfFile(resolve(directory, roots));
  const known = certificatesFromPem(rootCertificates.join('\n'));
  return async () => known;
}

function vaultOf(
  { auth, server_roots: serverRoots, timeout: timeoutMs, ...rest }: Kind<'vault'>,
  around: IssuerSurroundings,
): Issuer {
  const { clock, log } = around;
  return vaultIssuer({
    ...{ ...rest, timeoutMs, clock, log, auth: vaultAuthOf(auth, around) },
    serverRoots: fileRoots(serverRoots, around),
  });
}

/** Where Kubernetes puts the token of a pod. */
const podToken = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export function vaultAuthOf(auth: Kind<'vault'>['auth'], around: IssuerSurroundings): VaultAuth {
  const secret = (written: WrittenSecret, what: string) => secretOf(written, what, around);
  const { token, approle, kubernetes, jwt, cert } = auth;
  if (token !== undefined) return { method: 'token', token: secret(token, 'token of Vault') };
  if (approle !== undefined) {
    const { role_id: roleId, secret_id: secretId, mount } = approle;
    return {
      ...{ method: 'approle', mount, roleId: secret(roleId, 'role ID') },
      secretId: secretId === undefined ? undefined : secret(secretId, 'secret ID'),
    };
  }
  if (kubernetes !== undefined) {
    const { role, mount, jwt: written = { file: podToken } } = kubernetes;
    return { method: 'kubernetes', role, mount, jwt: secret(written, 'token of the pod') };
  }
  if (jwt !== undefined) {
    const { role, mount } = jwt;
    return { method: 'jwt', role, mount, jwt: secret(jwt.jwt, 'JWT for Vault') };
  }
  if (cert === undefined) throw new TypeError('the schema lets one of them through');
  const { cert_file: certFile, key_file: keyFile, name, mount } = cert;
  const path = (text: string) => resolve(around.directory, text);
  return { method: 'cert', certFile: path(certFile), keyFile: path(keyFile), name, mount };
}

function stepCaOf(written: Kind<'step_ca'>, around: IssuerSurroundings): Issuer {
  const { url, fingerprint, timeout: timeoutMs, token, password } = written;
  const { provisioner = '', key_file: keyFile = '' } = written;
  const credential: StepCaCredential =
    token === undefined
      ? {
          provisioner,
          keyFile: resolve(around.directory, keyFile),
          password:
            password === undefined
              ? undefined
              : secretOf(password, "password of the provisioner's key", around),
        }
      : { token: secretOf(token, 'one-time token', around) };
  return stepCaIssuer({ url, fingerprint, credential, timeoutMs, clock: around.clock });
}

function acmeOf(written: Kind<'acme'>, around: IssuerSurroundings): Issuer {
  const { url, contact, profile, timeout: timeoutMs, external_account: external } = written;
  const { http_01: http = {}, tls_alpn_01: tls, dns_01: dns } = written;
  return acmeIssuer({
    ...{ url, contact, profile, timeoutMs, clock: around.clock },
    accountKeyFile: resolve(around.directory, written.account_key),
    agreesToTerms: written.terms_agreed,
    externalAccount:
      external === undefined
        ? undefined
        : { kid: external.kid, hmac: secretOf(external.hmac, 'external account key', around) },
    proof:
      dns !== undefined
        ? { method: 'dns-01', command: dns.command, timeoutMs: dns.timeout }
        : tls !== undefined
          ? { method: 'tls-alpn-01', ...tls }
          : { method: 'http-01', ...http },
    serverRoots: fileRoots(written.server_roots, around),
  });
}

function awsPcaOf(written: Kind<'aws_pca'>, { clock }: IssuerSurroundings): Issuer {
  const { signing_algorithm: signingAlgorithm, timeout: timeoutMs, ...rest } = written;
  return awsPcaIssuer({ ...rest, signingAlgorithm, timeoutMs, clock });
}

export function fileRoots(
  path: string | undefined,
  { directory }: IssuerSurroundings,
): RootsSource | undefined {
  return path === undefined ? undefined : rootsOfFile(resolve(directory, path));
}

type Kind<Name extends keyof WrittenSigner> = NonNullable<WrittenSigner[Name]>;
type WrittenSecret = { readonly file?: string | undefined; readonly env?: string | undefined };

function secretOf(
  { file, env: name = '' }: WrittenSecret,
  what: string,
  { directory, cli }: IssuerSurroundings,
): SecretSource {
  if (file !== undefined) return secretOfFile(resolve(directory, file), what);
  return async function readVariable() {
    const text = cli.env[name];
    if (text !== undefined && text !== '') return new Secret(text);
    throw new CountersignError('ERR_ISSUER_SECRET', `${what}: the variable "${name}" is not set`);
  };
}
