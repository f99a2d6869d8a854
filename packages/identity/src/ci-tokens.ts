import { CountersignError } from '@countersign/base';
import { readText } from './issuers/issuer-files.ts';
import { IssuerHttp } from './issuers/issuer-http.ts';

/** For `token` of `identity.ephemeral`: asked once an instance needs an identity, while its key is made. */
export type TokenSource = () => Promise<string>;

/** Such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

interface TokenRequestOptions {
  /** What a provisioner of the authority has under `audiences`. */
  readonly audience: string;
  /** 15,000 unless given. */
  readonly timeoutMs?: number;
}

/**
 * The OIDC token of a GitHub Actions job that has `permissions: { id-token: write }`.
 *
 * @throws CountersignError at a use: ERR_IDENTITY_TOKEN where this is no such job, ERR_ISSUER_*
 */
export function githubToken(
  options: TokenRequestOptions & { readonly env: Environment },
): TokenSource {
  const { env, audience, timeoutMs } = options;
  return async function askGithub() {
    const bearer = variable(
      env,
      'ACTIONS_ID_TOKEN_REQUEST_TOKEN',
      'permissions: { id-token: write }',
    );
    const base = variable(env, 'ACTIONS_ID_TOKEN_REQUEST_URL', 'permissions: { id-token: write }');
    const url = URL.canParse(base) ? new URL(base) : undefined;
    url?.searchParams.set('audience', audience);
    const title = `GitHub at "${url?.origin ?? base}"`;
    const http = new IssuerHttp({ title, timeoutMs, detailOf });
    const { json } = await http.call({
      ...{ attempted: 'ask for the token of the job', method: 'GET', url: url?.href ?? base },
      headers: { authorization: `bearer ${bearer}` },
      signal: new AbortController().signal,
    });
    const { value } = Object(json) as { value?: unknown };
    if (typeof value === 'string' && value !== '') return value;
    throw missing(`${title} answered no token`, 'try the job again');
  };
}

/**
 * The OIDC token of a GitLab job, or of any other system that hands it over in a variable.
 *
 * @param options.name as under `id_tokens` of the job
 * @throws CountersignError ERR_IDENTITY_TOKEN at a use
 */
export function variableToken(options: {
  readonly env: Environment;
  readonly name: string;
}): TokenSource {
  const { env, name } = options;
  return async () => variable(env, name, `id_tokens: { ${name}: { aud: … } }`);
}

/** A token that somebody keeps fresh in a file, such as the service account's of Kubernetes. */
export function fileToken(path: string): TokenSource {
  return async function readTokenFile() {
    const text = (await readText(path)).trim();
    if (text !== '') return text;
    throw missing(`"${path}" is empty`, 'see that the token is projected there');
  };
}

/**
 * The identity token of the service account that a Cloud Run service, a function or a machine of Google runs as.
 *
 * @param options.metadata address of the metadata service, where it is not the usual one
 * @throws CountersignError at a use: ERR_ISSUER_*
 */
export function googleToken(
  options: TokenRequestOptions & { readonly metadata?: string },
): TokenSource {
  const { audience, metadata = 'http://metadata.google.internal', timeoutMs } = options;
  return async function askGoogle() {
    const path = '/computeMetadata/v1/instance/service-accounts/default/identity';
    const url = new URL(path, metadata);
    url.searchParams.set('audience', audience);
    url.searchParams.set('format', 'full');
    const title = `the metadata service at "${metadata}"`;
    const http = new IssuerHttp({ title, timeoutMs, detailOf, isOnLink: true });
    const { text } = await http.call({
      ...{ attempted: 'ask for the token of the service account', method: 'GET', url: url.href },
      headers: { 'metadata-flavor': 'Google' },
      signal: new AbortController().signal,
    });
    return text.trim();
  };
}

function variable(env: Environment, name: string, by: string): string {
  const value = env[name]?.trim();
  if (value !== undefined && value !== '') return value;
  throw missing(`the variable "${name}" is not set`, `the job needs ${by}`);
}

function missing(message: string, hint: string): CountersignError {
  return new CountersignError('ERR_IDENTITY_TOKEN', message, { hint });
}

function detailOf(json: unknown): string | undefined {
  const { message } = Object(json) as { message?: unknown };
  return typeof message === 'string' ? message : undefined;
}
