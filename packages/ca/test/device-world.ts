import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noLog, systemClock } from '@countersign/base';
import { openAcme } from '../src/serve/open-acme.ts';
import { AcmeClient, type Answered } from './acme-client.ts';
import { testAuthority } from './authority-under-test.ts';
import { keyAuthority } from './paper-attestation.ts';

const yaml = (acme: string) => `
ca:
  root: { algorithm: ECDSA, curve: P-256, validity: "87600h" }
  intermediate: { services: { algorithm: ECDSA, curve: P-256, validity: "8760h" } }
service_certificates:
  validity: "24h"
  san_policies: { require_spiffe: false, spiffe_trust_domain: example.com }
policy:
  rules:
    - { name: none of the lost, deny: ["permanent-identifier:LOST-*"] }
acme: ${acme}
`;

const profiles =
  'profiles: { plain: {}, named: { spiffe_id: "spiffe://example.com/device/{name}" } }';

/** An ACME server that attests devices, and whoever certifies the attestation keys of their TPMs. */
export async function deviceWorld() {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-devices-'));
  const keys = keyAuthority();
  const roots = join(directory, 'tpm-roots.pem');
  writeFileSync(roots, keys.rootPem);
  const acme = `{ device_attestation: { roots: ["${roots}"], formats: [tpm] }, ${profiles} }`;
  const authority = await testAuthority({ yaml: yaml(acme) });
  const edge = await openAcme({ authority, clock: systemClock, log: noLog });
  const server = createServer((request, answer) => void edge?.answer(request, answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = await AcmeClient.at(port, '/acme/directory');
  await client.register();
  return {
    authority,
    keys,
    client,
    /** A new order of one device, with its one challenge and what an attestation has to be about. */
    async order(type: string, value: string, more: object = {}) {
      const ordered = await client.post(client.directory.newOrder, {
        identifiers: [{ type, value }],
        ...more,
      });
      assert.equal(ordered.status, 201, ordered.text);
      const [url] = ordered.body.authorizations;
      const { body } = await client.get(url);
      const [challenge, ...others] = body.challenges;
      assert.deepEqual([challenge.type, others], ['device-attest-01', []]);
      const respond = (object: Uint8Array): Promise<Answered> =>
        client.post(challenge.url, { attObj: Buffer.from(object).toString('base64url') });
      const finalize = (csr: Uint8Array) =>
        client.post(ordered.body.finalize, { csr: Buffer.from(csr).toString('base64url') });
      const signed = `${challenge.token}.${client.thumbprint}`;
      return { authorization: url, signed, challenge, respond, finalize };
    },
    async end() {
      await edge?.close();
      server.close();
      await authority.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export type DeviceWorld = Awaited<ReturnType<typeof deviceWorld>>;
