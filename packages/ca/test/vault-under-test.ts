import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, noLog, noMeter, systemClock } from '@countersign/base';
import { type Certificate, encodePem } from '@countersign/x509';
import type { Authority } from '../src/authority.ts';
import type { IssueLine } from '../src/serve/issue-line.ts';
import type { VaultHttp } from '../src/vault/answer-vault.ts';
import { VaultEdge } from '../src/vault/vault-edge.ts';
import { request, testAuthority } from './authority-under-test.ts';

const yaml = (tokenFile: string) => `
ca:
  root: { algorithm: ECDSA, curve: P-256, validity: "87600h", pathLenConstraint: 2 }
  intermediate:
    services: { algorithm: ECDSA, curve: P-256, validity: "8760h", pathLenConstraint: 1 }
service_certificates:
  validity: "24h"
  max_validity: "72h"
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["**.example.test", "example.test", "localhost"]
    allow_ip_san: true
    allow_wildcards: true
vault:
  mounts:
    pki: { intermediate: services }
    signing: { intermediate: services, provisioner: authorities, sign_intermediates: true }
  new_mounts: true
  tokens: [{ name: ops, token_file: ${tokenFile}, policies: [root] }]
  allow: [127.0.0.0/8]
  limits: { failed_logins: 5, failed_login_every: 1h }
`;

export const rootToken = 'a-root-token-for-tests';

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is looked at differs from call to call
  readonly body: any;
}

export interface Asking {
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly shown?: readonly Certificate[];
  readonly from?: string;
}

/** The Vault edge in front of an authority in memory, asked without a network. */
export class VaultWorld {
  readonly authority: Authority;
  readonly edge: VaultEdge;
  readonly #directory: string;

  private constructor(authority: Authority, edge: VaultEdge, directory: string) {
    this.authority = authority;
    this.edge = edge;
    this.#directory = directory;
  }

  static async start(clock: Clock = systemClock, more = '', line?: IssueLine): Promise<VaultWorld> {
    const directory = mkdtempSync(join(tmpdir(), 'countersign-vault-'));
    const tokenFile = join(directory, 'root.token');
    writeFileSync(tokenFile, `${rootToken}\n`, { mode: 0o600 });
    const authority = await testAuthority({ yaml: `${yaml(tokenFile)}${more}`, clock });
    return await VaultWorld.over(authority, { clock, directory, line });
  }

  /** In front of an authority whose configuration has the door. */
  static async over(
    authority: Authority,
    more: {
      clock?: Clock;
      directory?: string;
      copy?: string;
      line?: IssueLine | undefined;
    } = {},
  ): Promise<VaultWorld> {
    const { clock = systemClock, directory = '', copy, line } = more;
    const config = authority.config.vault;
    assert.ok(config);
    const around = { clock, log: noLog, meter: noMeter };
    const parts = { config, authority, version: '0.0.0', copy, line, ...around };
    const edge = await VaultEdge.open(parts);
    return new VaultWorld(authority, edge, directory);
  }

  /** `token` of the root unless another, or an empty one, is given. */
  async ask(method: string, path: string, body?: unknown, asking: Asking = {}): Promise<Answer> {
    const { token = rootToken, headers = {}, shown = [], from = '192.0.2.1' } = asking;
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    const http: VaultHttp = {
      ...{ method, url: `/v1/${path}`, from },
      headers: { ...(token !== '' && { 'x-vault-token': token }), ...headers },
      shown: () => shown,
      body: async () => Buffer.from(text),
    };
    const { status, headers: answered, body: sent } = await this.edge.answer(http);
    const written = typeof sent === 'string' ? sent : Buffer.from(sent).toString('latin1');
    const type = answered['content-type'] ?? '';
    const isJson = type === 'application/json' && written !== '';
    return { status, type, text: written, body: isJson ? JSON.parse(written) : undefined };
  }

  async must(method: string, path: string, body?: unknown, asking: Asking = {}): Promise<Answer> {
    const answer = await this.ask(method, path, body, asking);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
  }

  async refused(
    status: number,
    says: string | RegExp,
    ...[method, path, body, asking]: Parameters<VaultWorld['ask']>
  ): Promise<void> {
    const answer = await this.ask(method, path, body, asking);
    assert.equal(answer.status, status, answer.text);
    const told = answer.body.errors.join('\n');
    if (typeof says === 'string') assert.equal(told, says);
    else assert.match(told, says);
  }

  /** A token with a policy of its own. */
  async tokenFor(policy: string, name = 'own'): Promise<string> {
    await this.must('PUT', `sys/policies/acl/${name}`, { policy });
    const { body } = await this.must('POST', 'auth/token/create', { policies: [name], ttl: '1h' });
    return body.auth.client_token;
  }

  async close(): Promise<void> {
    await this.edge.close();
    await this.authority.close();
    if (this.#directory !== '') rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** PKCS #10 in PEM. */
export async function requestPem(options: Parameters<typeof request>[0] = {}): Promise<string> {
  return encodePem('CERTIFICATE REQUEST', await request(options));
}
