import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { noLog, systemClock } from '@countersign/base';
import { type AcmeConfig, noTrials } from '../src/acme/acme-config.ts';
import { AcmeEdge } from '../src/acme/acme-edge.ts';
import { usualResources } from '../src/acme/acme-resources.ts';
import { authorityForAcme } from '../src/acme/authority-for-acme.ts';
import type { Authority } from '../src/authority.ts';
import type { IssueLine } from '../src/serve/issue-line.ts';
import { AcmeClient } from './acme-client.ts';
import { testAuthority } from './authority-under-test.ts';

const yaml = `
ca:
  root: { algorithm: ECDSA, curve: P-256, validity: "87600h", storage: file, pathLenConstraint: 1 }
  intermediate:
    services: { algorithm: ECDSA, curve: P-256, validity: "8760h" }
service_certificates:
  validity: "24h"
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["**.test", "localhost"]
    allow_ip_san: true
    allow_wildcards: true
`;

export const localhost = [{ type: 'dns', value: 'localhost' }];
/** Key of the external account `kid-1`. */
export const externalKey = Buffer.alloc(32, 7);

/** The edge in front of an authority in memory, and the web server of whoever wants a certificate. */
export class AcmeWorld {
  readonly authority: Authority;
  /** Below `/acme`, and below `/bound` for those with an external account; there no resolver answers. */
  readonly port: number;
  /** What stands at a path of the web server; `->` and an address: a redirect. */
  readonly pages: Map<string, string>;
  /** Another edge in front of the same authority; `path` tells it from the others. */
  readonly open: (more: Partial<AcmeConfig>) => Promise<void>;
  readonly #end: () => Promise<void>;

  private constructor(
    { authority, port, pages, open }: Pick<AcmeWorld, 'authority' | 'port' | 'pages' | 'open'>,
    end: () => Promise<void>,
  ) {
    this.authority = authority;
    this.port = port;
    this.pages = pages;
    this.open = open;
    this.#end = end;
  }

  static async start(line?: IssueLine): Promise<AcmeWorld> {
    const authority = await testAuthority({ yaml });
    const pages = new Map<string, string>();
    const website = createServer((asked, answer) => {
      const page = pages.get(asked.url ?? '');
      if (page?.startsWith('->') === true) answer.writeHead(302, { location: page.slice(2) }).end();
      else answer.writeHead(page === undefined ? 404 : 200).end(page);
    });
    const webPort = await listen(website);
    const asked = { authority: authorityForAcme(authority), state: authority.ledger };
    const parts = { ...asked, line, clock: systemClock, log: noLog };
    const edges: AcmeEdge[] = [];
    const open = async (more: Partial<AcmeConfig>) => {
      edges.push(await AcmeEdge.open({ ...parts, config: configOf(more, webPort) }));
    };
    await open({});
    const { validation } = configOf({}, webPort);
    const unset = { profile: undefined, spiffeId: undefined, lifetimeMs: undefined };
    const bound = {
      ...{ path: '/bound', externalAccountRequired: true, challenges: ['dns-account-01'] as const },
      profiles: ['first', 'second'].map((name) => ({
        name,
        description: name,
        ...unset,
        commonName: name === 'first',
      })),
      validation: { ...validation, vantages: [['127.0.0.1:1']] },
    };
    await open(bound);
    const server = createServer((request, answer) => {
      const asked = edges.find((each) => each.has(request.url ?? '')) ?? assert.fail(request.url);
      void asked.answer(request, answer);
    });
    const port = await listen(server);
    return new AcmeWorld({ authority, port, pages, open }, async () => {
      await Promise.all(edges.map((each) => each.close()));
      server.close();
      website.close();
      await authority.close();
    });
  }

  end(): Promise<void> {
    return this.#end();
  }

  client(path = '/acme'): Promise<AcmeClient> {
    return AcmeClient.at(this.port, `${path}/directory`);
  }

  async registered(path?: string): Promise<AcmeClient> {
    const made = await this.client(path);
    const { status } = await made.register();
    assert.equal(status, 201);
    return made;
  }

  /** From a new order to one whose names are proved by http-01. */
  async proved(acme: AcmeClient, identifiers: readonly object[] = localhost, more: object = {}) {
    const ordered = await acme.post(acme.directory.newOrder, { identifiers, ...more });
    assert.equal(ordered.status, 201, ordered.text);
    for (const url of ordered.body.authorizations) {
      const { body } = await acme.get(url);
      if (body.status === 'valid') continue;
      const challenge = body.challenges.find((each: { type: string }) => each.type === 'http-01');
      const { token } = challenge;
      this.pages.set(`/.well-known/acme-challenge/${token}`, `${token}.${acme.thumbprint}\n`);
      await acme.post(challenge.url, {});
      const ended = await acme.until(url, (each) => each.status !== 'pending');
      assert.equal(ended.status, 'valid', JSON.stringify(ended));
    }
    return { url: String(ordered.headers.location), order: ordered.body };
  }
}

function configOf(more: Partial<AcmeConfig>, httpPort: number): AcmeConfig {
  return {
    ...{ path: '/acme', directory: '/directory', provisioner: 'acme' },
    resources: usualResources,
    challenges: ['http-01', 'dns-01', 'tls-alpn-01'],
    ...{ termsOfService: 'https://example.com/terms', website: undefined },
    externalAccountRequired: false,
    externalAccounts: [{ kid: 'kid-1', key: { bytes: externalKey }, provisioner: 'partner' }],
    profiles: [],
    ...{ authorizationMs: 3_600_000, orderMs: 3_600_000, reusePercent: 100 },
    ...{ retryAfter: { authorization: 1, order: 1 }, ordersPerPage: 2 },
    ...{ blockedDomains: ['blocked.test'], caaIdentities: [], alternateChains: [] },
    ...{ requestedValidity: false, trials: noTrials },
    limits: { accountsPerHour: 0, ordersPerHour: 0, identifiers: 20 },
    validation: {
      ...{ httpPort, tlsAlpnPort: 1, vantages: [[]], mayFail: 0, allow: ['127.0.0.0/8'] },
      ...{ isOpen: false, timeoutMs: 5000, retryMs: [], sleepMs: 0, alwaysValid: false },
    },
    ...more,
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
