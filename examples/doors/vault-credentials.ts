// Makes one of each credential by which clients of Vault log in, and prints them as NAME=value lines: VAULT_ADDR and
// VAULT_TOKEN say where and by what right, the first argument where the files go.
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const [directory = ''] = process.argv.slice(2);
const { VAULT_ADDR = '', VAULT_TOKEN = '', NODE_EXTRA_CA_CERTS = '' } = process.env;

// 1. what may be had: subdomains of example.test, by whoever has the policy
const names = { allowed_domains: 'example.test', allow_subdomains: true, max_ttl: '720h' };
await vault('POST', 'pki/roles/web', { ...names, key_type: 'any', require_cn: false });
await vault('PUT', 'sys/policies/acl/web', {
  policy: 'path "pki/sign/web" { capabilities = ["update"] }',
});

// 2. a role id and a secret id
await vault('POST', 'sys/auth/approle', { type: 'approle' });
await vault('POST', 'auth/approle/role/web', { token_policies: 'web', token_ttl: '1h' });
const { role_id } = await vault('GET', 'auth/approle/role/web/role-id');
const { secret_id } = await vault('POST', 'auth/approle/role/web/secret-id');

// 3. a certificate, which the authority itself has issued
await vault('POST', 'pki/roles/client', { ...names, key_type: 'ec' });
const issued = await vault('POST', 'pki/issue/client', {
  common_name: 'client.example.test',
  ttl: '720h',
});
const client = { cert: `${directory}/client.pem`, key: `${directory}/client.key` };
writeFileSync(client.cert, `${issued.certificate}\n${issued.ca_chain[0]}\n`);
writeFileSync(client.key, `${issued.private_key}\n`, { mode: 0o600 });
await vault('POST', 'sys/auth/cert', { type: 'cert' });
await vault('POST', 'auth/cert/certs/web', {
  certificate: readFileSync(NODE_EXTRA_CA_CERTS, 'utf8'),
  allowed_common_names: 'client.example.test',
  token_policies: 'web',
});

// 4. the token of a service account, of a cluster that is a key alone
const cluster = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { ...cluster.publicKey.export({ format: 'jwk' }), kid: 'cluster', use: 'sig' };
await vault('POST', 'sys/auth/kubernetes', { type: 'kubernetes' });
await vault('POST', 'auth/kubernetes/config', { jwks: JSON.stringify({ keys: [key] }) });
await vault('POST', 'auth/kubernetes/role/web', {
  bound_service_account_names: 'web',
  bound_service_account_namespaces: 'shop',
  token_policies: 'web',
});

const credentials = {
  VAULT_ROLE_ID: role_id,
  VAULT_SECRET_ID: secret_id,
  VAULT_CLIENT_CERT: client.cert,
  VAULT_CLIENT_KEY: client.key,
  VAULT_CERT_ROLE: 'web',
  VAULT_K8S_ROLE: 'web',
  VAULT_K8S_JWT: serviceAccountToken(),
};
for (const [name, value] of Object.entries(credentials)) process.stdout.write(`${name}=${value}\n`);

/** The data of an answer; whatever is refused ends this. */
async function vault(method: string, path: string, body?: object) {
  const answer = await fetch(`${VAULT_ADDR}/v1/${path}`, {
    method,
    headers: { 'x-vault-token': VAULT_TOKEN },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === '' ? {} : (JSON.parse(text).data ?? {});
}

function serviceAccountToken(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const signed = [
    part({ alg: 'ES256', kid: 'cluster' }),
    part({
      iss: 'https://kubernetes.default.svc',
      sub: 'system:serviceaccount:shop:web',
      aud: ['vault'],
      iat: now,
      exp: now + 7 * 86_400,
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'web', uid: 'c0ffee' } },
    }),
  ].join('.');
  const dsa = { key: cluster.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${signed}.${sign('sha256', Buffer.from(signed), dsa).toString('base64url')}`;
}
