import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@countersign/base';
import { testCa } from '@countersign/testkit';

export interface OidcIssuer {
  /** As `iss` has it. */
  readonly url: string;
  /** Of its TLS certificate, PEM. */
  readonly roots: string;
  /** Where a job asks for its token, as GitHub's variables say it. */
  readonly env: Readonly<Record<string, string>>;
  /** Where a service asks for its token, as Google's metadata service answers it. */
  readonly metadata: string;
  token(claims: object): string;
  /** Tokens that were asked for. */
  asked(): number;
  close(): void;
}

/** An OIDC issuer with discovery and a JWKS over TLS, and the endpoint at which build jobs get their tokens. */
export async function startOidcIssuer(job: object): Promise<OidcIssuer> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES256' };
  const ca = testCa();
  const { chainPem, keyPem } = ca.leaf({ names: [{ kind: 'dns', value: 'localhost' }] });
  let url = '';
  const tls = createServer({ cert: chainPem, key: keyPem }, (request, response) => {
    const documents: Readonly<Record<string, object>> = {
      '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/jwks` },
      '/jwks': { keys: [jwk] },
    };
    const found = documents[request.url ?? ''];
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? {}));
  });
  url = `https://localhost:${await listen(tls)}`;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (claims: object) => {
    const now = Math.floor(systemClock.now() / 1000);
    const usual = { iss: url, iat: now, nbf: now, exp: now + 300 };
    const text = `${part({ alg: 'ES256', kid: 'k1' })}.${part({ ...usual, ...claims })}`;
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
    return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
  };
  let asked = 0;
  const jobs = createHttpServer((request, response) => {
    const at = new URL(request.url ?? '', 'http://x');
    const aud = at.searchParams.get('audience');
    const isJob = request.headers.authorization === 'bearer of-the-job';
    const isService = request.headers['metadata-flavor'] === 'Google';
    if (!isJob && !isService) return void response.writeHead(401).end('{"message":"no"}');
    asked += 1;
    const value = token({ ...job, aud });
    response.end(isJob ? JSON.stringify({ value }) : value);
  });
  const jobsUrl = `http://127.0.0.1:${await listen(jobs)}`;
  return {
    ...{ url, roots: ca.rootPem, token, asked: () => asked },
    env: {
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job',
      ACTIONS_ID_TOKEN_REQUEST_URL: `${jobsUrl}/token?api-version=2.0`,
    },
    metadata: jobsUrl,
    close() {
      tls.close();
      jobs.close();
    },
  };
}

async function listen(server: ReturnType<typeof createHttpServer | typeof createServer>) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
