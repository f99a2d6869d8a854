import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

const yaml = (tokenFile: string) => `ca:
  root: { curve: P-256, validity: 8760h, pathLenConstraint: 2 }
  intermediate: { services: { curve: P-256, validity: 4380h, pathLenConstraint: 1 } }
service_certificates:
  validity: 24h
  max_validity: 72h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['**.example.test', localhost]
    allow_ip_san: true
    allow_wildcards: true
api: { names: [localhost] }
vault:
  mounts: { pki: { intermediate: services } }
  new_mounts: true
  tokens: [{ name: ops, token_file: ${tokenFile}, policies: [root] }]
`;

export interface VaultApiAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what is looked at differs from call to call
  readonly body: any;
}

/** A served authority with the Vault door open, and one of each credential, as environment variables of clients. */
export interface VaultServerUnderTest {
  readonly url: string;
  readonly token: string;
  readonly rootsFile: string;
  readonly env: Readonly<Record<string, string>>;
  readonly server: Started;
  readonly data: string;
  file(name: string): string;
  ask(method: string, path: string, body?: unknown, more?: AskMore): Promise<VaultApiAnswer>;
}

export interface AskMore {
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** @param what `bare`: nothing is set up, and there is no credential but the first token */
export async function startVaultServer(
  t: TestContext,
  what: 'bare' | 'set up' = 'set up',
): Promise<VaultServerUnderTest> {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const token = randomBytes(18).toString('base64url');
  await writeFile(file('root.token'), token, { mode: 0o600 });
  await writeFile(file('ca.yaml'), yaml(file('root.token')));
  const words = ['--config', file('ca.yaml'), '--data', file('state')];
  const made = await countersign(['init', ...words]);
  assert.equal(made.code, 0, made.stderr);
  const server = await startCountersign(t, ['ca', 'serve', ...words, '--port', '0'], {
    timeoutMs: 600_000,
  });
  const url = `https://localhost:${new URL(server.urls[0] ?? '').port}`;
  const rootsFile = file('state/root.pem');
  const ca = await readFile(rootsFile, 'utf8');

  async function must(method: string, path: string, body?: unknown, more?: AskMore) {
    const answer = await askVault(url, ca, token, { method, path, body, more });
    assert.ok(
      answer.status < 300,
      `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`,
    );
    return answer.body;
  }

  execFileSync(
    'openssl',
    [
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      file('web.key'),
      '-subj',
      '/CN=web.example.test',
      '-addext',
      'subjectAltName=DNS:web.example.test',
      '-out',
      file('web.csr'),
    ],
    { stdio: 'ignore' },
  );
  const first = {
    ...{ VAULT_ADDR: url, BAO_ADDR: url, VAULT_TOKEN: token, BAO_TOKEN: token },
    ...{ VAULT_CACERT: rootsFile, BAO_CACERT: rootsFile, VAULT_SIGN_PATH: 'pki/sign/web' },
    ...{ CSR: file('web.csr'), HOME: directory },
  };
  const env = what === 'bare' ? first : { ...first, ...(await credentials(must, { ca, file })) };
  return {
    ...{ url, token, rootsFile, env, server, file, data: file('state') },
    ask: (method, path, body, more) => askVault(url, ca, token, { method, path, body, more }),
  };
}

type Must = (method: string, path: string, body?: unknown) => Promise<VaultApiAnswer['body']>;

async function credentials(
  must: Must,
  { ca, file }: { readonly ca: string; readonly file: (name: string) => string },
): Promise<Record<string, string>> {
  // 1. what may be had: names of example.test, by whoever has the policy
  await must('POST', 'pki/roles/web', {
    allowed_domains: 'example.test',
    allow_subdomains: true,
    key_type: 'ec',
    max_ttl: '24h',
    require_cn: false,
  });
  await must('PUT', 'sys/policies/acl/web', {
    policy: 'path "pki/sign/web" { capabilities = ["update"] }',
  });

  // 2. one of each credential
  await must('POST', 'sys/auth/approle', { type: 'approle' });
  await must('POST', 'auth/approle/role/web', { token_policies: 'web', token_ttl: '20m' });
  const roleId = (await must('GET', 'auth/approle/role/web/role-id')).data.role_id;
  const secretId = (await must('POST', 'auth/approle/role/web/secret-id')).data.secret_id;
  const client = (await must('POST', 'pki/issue/web', { common_name: 'client.example.test' })).data;
  await writeFile(file('client.pem'), `${client.certificate}\n${client.ca_chain[0]}\n`);
  await writeFile(file('client.key'), client.private_key, { mode: 0o600 });
  await must('POST', 'sys/auth/cert', { type: 'cert' });
  await must('POST', 'auth/cert/certs/web', {
    certificate: ca,
    allowed_common_names: '*.example.test',
    token_policies: 'web',
  });
  const { jwt, jwks } = serviceAccount();
  await must('POST', 'sys/auth/kubernetes', { type: 'kubernetes' });
  await must('POST', 'auth/kubernetes/config', { jwks });
  await must('POST', 'auth/kubernetes/role/web', {
    bound_service_account_names: 'web',
    bound_service_account_namespaces: 'shop',
    token_policies: 'web',
  });
  return {
    ...{ VAULT_ROLE_ID: roleId, VAULT_SECRET_ID: secretId, VAULT_CERT_ROLE: 'web' },
    ...{ VAULT_CLIENT_CERT: file('client.pem'), VAULT_CLIENT_KEY: file('client.key') },
    ...{ VAULT_K8S_ROLE: 'web', VAULT_K8S_JWT: jwt },
  };
}

/** A token of a service account, and the keys of its cluster. */
function serviceAccount(): { readonly jwt: string; readonly jwks: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    iss: 'https://kubernetes.default.svc',
    sub: 'system:serviceaccount:shop:web',
    aud: ['vault'],
    exp: Math.floor(Date.now() / 1000) + 3600,
    'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'web', uid: 'c0ffee' } },
  };
  const signed = `${part({ alg: 'ES256', kid: 'one' })}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  const key = { ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig' };
  return {
    jwt: `${signed}.${signature.toString('base64url')}`,
    jwks: JSON.stringify({ keys: [key] }),
  };
}

function askVault(
  url: string,
  ca: string,
  token: string,
  asked: { method: string; path: string; body: unknown; more: AskMore | undefined },
): Promise<VaultApiAnswer> {
  const { method, path, body, more = {} } = asked;
  const { cert, key } = more;
  const shown = more.token ?? token;
  const options = {
    ...{ method, ca, agent: false as const, timeout: 30_000 },
    ...(cert !== undefined && { cert, key }),
    headers: shown === '' ? {} : { 'x-vault-token': shown },
  };
  return new Promise((resolve, reject) => {
    const sent = request(new URL(`/v1/${path}`, url), options);
    sent.once('error', reject);
    sent.once('response', async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part as Buffer);
      const text = Buffer.concat(parts).toString('utf8');
      const isJson = answer.headers['content-type'] === 'application/json' && text !== '';
      resolve({ status: answer.statusCode ?? 0, body: isJson ? JSON.parse(text) : text });
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
