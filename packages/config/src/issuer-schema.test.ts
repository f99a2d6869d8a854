import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import type { ConfigError } from './config-error.ts';
import { issuerSchema, signerSchema } from './issuer-schema.ts';
import { readConfigText } from './read-document.ts';

const id = 'spiffe_id: spiffe://example.com/a';
const auth = 'auth: { token: { env: VAULT_TOKEN } }';
const vault = `vault: { url: "https://vault.internal:8200", role: web, ${auth} }`;
const acme = 'acme: { url: "https://acme.internal/dir", account_key: a.pem, http_01: {} }';

const read = (text: string) =>
  readConfigText(z.strictObject({ issuer: issuerSchema }), `issuer: { ${text} }`, 'i.yaml').issuer;

test('each issuer has one shape, and what goes with none of it is refused by name', () => {
  assert.equal(read(`${vault}, ${id}, ttl: 1h`).ttl, 3_600_000);
  assert.equal(read('workload_api: { socket: unix:///run/agent.sock }').vault, undefined);
  assert.equal(read(`${acme}, ${id}, dns: [a.example.com], roots: system`).dns.length, 1);
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    [id, /expected one of vault, step_ca, acme, aws_pca, workload_api, files, found none/],
    [`${vault}, files: { key: k, cert: c, roots: r }, ${id}`, /found vault and files/],
    [vault, /spiffe_id is missing/],
    [
      `${vault.replace('role', 'rol')}, ${id}`,
      /unknown key "rol" in issuer\.vault, the nearest valid key is "role"/,
    ],
    [`${vault.replace('https', 'ftp')}, ${id}`, /expected a URL that begins with https/],
    [`${vault.replace('{ env: VAULT_TOKEN }', 's.secret')}, ${id}`, /expected object/],
    [
      `${vault.replace('env: VAULT_TOKEN', 'env: VAULT_TOKEN, file: t')}, ${id}`,
      /expected "file" or "env", one of both/,
    ],
    [
      `${vault.replace('token: { env: VAULT_TOKEN }', '')}, ${id}`,
      /expected one of token, approle/,
    ],
    ['files: { key: k, cert: c, roots: r }, ttl: 1h', /ttl: is decided by who gives the identity/],
    [`workload_api: { socket: /a }, ${id}`, /spiffe_id: stands in workload_api, where it chooses/],
    ['workload_api: { socket: /a }, dns: [a]', /dns: is decided by who gives the identity/],
    [`${acme}, ${id}`, /roots is missing/],
    [
      `${acme.replace('http_01: {}', '')}, ${id}, roots: r`,
      /expected "http_01", "tls_alpn_01" or "dns_01"/,
    ],
    [
      `${acme.replace('http_01', 'dns_01: { command: [a] }, tls_alpn_01')}, ${id}, roots: r`,
      /one of them/,
    ],
    [
      `step_ca: { url: "https://a", fingerprint: f, provisioner: p }, ${id}`,
      /expected "provisioner" with "key_file", or "token"/,
    ],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => read(text),
      (thrown: ConfigError) => {
        assert.match(thrown.message, message, text);
        return true;
      },
    );
  }
  const signer = z.strictObject({ issuer: signerSchema });
  assert.throws(() => readConfigText(signer, `issuer: { ${vault}, ${id} }`, 'i.yaml'), /spiffe_id/);
});
