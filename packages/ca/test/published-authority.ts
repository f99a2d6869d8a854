import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { type Clock, type Log, noLog, noMeter, systemClock } from '@countersign/base';
import { type Certificate, parseCertificate } from '@countersign/x509';
import { type Authority, ephemeralAuthority, parseCaConfig } from '../src/index.ts';
import { type Publishing, startPublishing } from '../src/publish/start-publishing.ts';
import { issuedOf, payments, request } from './authority-under-test.ts';

/** An authority in memory with what it publishes, on a port of its own. */
export interface PublishedAuthority {
  readonly authority: Authority;
  readonly publishing: Publishing;
  readonly issuer: Certificate;
  issue(spiffeId?: string): Promise<Certificate>;
  revoke(certificate: Certificate): Promise<void>;
  get(path: string, headers?: Record<string, string>): Promise<HttpAnswer>;
  send(options: {
    readonly method: string;
    readonly path: string;
    readonly headers?: Record<string, string>;
    readonly body?: Uint8Array;
  }): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

export function publishYaml(publish: string): string {
  return `
ca:
  root: { algorithm: ECDSA, curve: P-256 }
  intermediate:
    services: { algorithm: ECDSA, curve: P-256, subject: { organization: Example, commonName: services } }
    other: { algorithm: ECDSA, curve: P-256 }
service_certificates:
  max_validity: 8760h
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["*.prod.internal"] }
publish: ${publish}
`;
}

export async function publishedAuthority(
  options: { readonly publish?: string; readonly clock?: Clock; readonly log?: Log } = {},
): Promise<PublishedAuthority> {
  const {
    publish = '{ url: "http://pki.example.com" }',
    clock = systemClock,
    log = noLog,
  } = options;
  const config = parseCaConfig(publishYaml(publish), 'ca.yaml');
  const authority = await ephemeralAuthority({ config, clock, log });
  const publishing = await startPublishing({ authority, port: 0, clock, log, meter: noMeter });
  assert.ok(publishing);
  const issuer = authority.publishers().find(({ name }) => name === 'services');
  assert.ok(issuer);
  const agent = new Agent({ keepAlive: true });
  const send: PublishedAuthority['send'] = ({ method, path, headers = {}, body }) =>
    new Promise((resolve, reject) => {
      const exchange = httpRequest(
        { host: '127.0.0.1', port: new URL(publishing.url).port, agent, method, path, headers },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part) => parts.push(part));
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(parts),
            }),
          );
        },
      );
      exchange.on('error', reject);
      exchange.end(body);
    });
  return {
    authority,
    publishing,
    issuer: issuer.certificate,
    async issue(spiffeId = payments) {
      const issued = issuedOf(await authority.issue({ csr: await request(), spiffeId }));
      return parseCertificate(issued.chain[0]);
    },
    async revoke({ serialHex }) {
      const order = { by: 'serial', value: serialHex, reason: 'keyCompromise', waitMs: 0 } as const;
      const answer = await authority.revoke(order, { kind: 'operator' });
      assert.ok(answer.ok);
    },
    get: (path, headers = {}) => send({ method: 'GET', path, headers }),
    send,
    async close() {
      agent.destroy();
      await publishing.close(200);
      await authority.close();
    },
  };
}
