import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { type OwnDoors, rootToken, startOwnDoors } from '../../test/own-doors.ts';
import { acmeIssuer } from './acme/acme-issuer.ts';
import type { AcmeProof } from './acme/acme-proof.ts';
import type { ExternalAccountKey } from './acme/acme-session.ts';
import { issuerSuite } from './issuer.suite.ts';
import { rootsOfFile } from './issuer-files.ts';
import { IssuerHttp } from './issuer-http.ts';
import { openIssued } from './open-issued.ts';
import { vaultIssuer } from './vault/vault-issuer.ts';

let doors: OwnDoors;
before(async () => {
  doors = await startOwnDoors();
});
after(() => doors.stop());

const away = 'https://127.0.0.1:9';
const spiffeId = 'spiffe://example.com/host/payments.test';
const names = { spiffeId, dns: ['payments.test'], ip: [] };

const vaultAt = (url: string) =>
  vaultIssuer({
    ...{ url, role: 'workloads', clock: systemClock, log: noLog },
    auth: { method: 'token', token: async () => new Secret(rootToken) },
    serverRoots: rootsOfFile(doors.rootFile),
  });

issuerSuite('the Vault door', async () => {
  await openRole();
  return {
    issuer: () => vaultAt(doors.url),
    away: () => vaultAt(away),
    names,
    refused: { ...names, dns: ['payments.example.org'] },
    refusal: /sign with role "workloads" at Vault at .*it answers 400/,
  };
});

const externalOf = (hmac: string): ExternalAccountKey => ({
  kid: 'kid-1',
  hmac: async () => new Secret(hmac),
});

const acmeAt = (
  url: string,
  external = externalOf(doors.hmac),
  account = 'account.pem',
  proof: AcmeProof = { method: 'http-01', port: doors.httpPort, address: '127.0.0.1' },
) =>
  acmeIssuer({
    url: `${url}/acme/directory`,
    accountKeyFile: join(doors.directory, account),
    externalAccount: external,
    profile: 'mesh',
    proof,
    serverRoots: rootsOfFile(doors.rootFile),
    clock: systemClock,
  });

issuerSuite('the ACME door', async () => ({
  issuer: () => acmeAt(doors.url),
  away: () => acmeAt(away),
  names,
  refused: { ...names, spiffeId: 'spiffe://example.com/host/blocked.test', dns: ['blocked.test'] },
  refusal: /open an order at ACME server at .*it answers 400: rejectedIdentifier: "blocked\.test"/,
  roots: () => rootsOfFile(doors.rootFile)(),
}));

test('the ACME door: the key of the account is in a file of its own, and another external key is refused', async () => {
  const issuer = acmeAt(
    doors.url,
    externalOf('AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
    'other.pem',
  );
  const asked = openIssued({
    ...{ issuer, names, clock: systemClock, log: noLog, meter: noMeter },
    roots: rootsOfFile(doors.rootFile),
  });
  await assert.rejects(asked, {
    code: 'ERR_ISSUER_REFUSED',
    message:
      /open an account at .*unauthorized: the external account is unknown or its key is wrong/,
  });
  assert.equal((await stat(join(doors.directory, 'other.pem'))).mode & 0o777, 0o600);
});

test('the ACME door: a name is proved by tls-alpn-01, on a port of choice', async (t) => {
  const proof = { method: 'tls-alpn-01', port: doors.tlsPort, address: '127.0.0.1' } as const;
  const live = await openIssued({
    issuer: acmeAt(doors.url, externalOf(doors.hmac), 'account.pem', proof),
    ...{ names, clock: systemClock, log: noLog, meter: noMeter },
    roots: rootsOfFile(doors.rootFile),
  });
  t.after(() => live.stop());
  assert.equal(live.svid().spiffeId.toString(), spiffeId);
});

test('the ACME door: the renewal follows the window that it suggests', async (t) => {
  const issuer = acmeAt(doors.url);
  const live = await openIssued({
    ...{ issuer, names, clock: systemClock, log: noLog, meter: noMeter },
    roots: rootsOfFile(doors.rootFile),
    fraction: 0.99,
    jitter: 0,
  });
  t.after(() => live.stop());
  const { leaf } = live.svid();
  const length = leaf.notAfter - leaf.notBefore;
  const [from, to] = [leaf.notBefore + length / 2 - 1000, leaf.notBefore + (length * 2) / 3 + 1000];
  const isInWindow = () => {
    const at = live.stats().nextRenewalAt ?? 0;
    return at >= from && at <= to;
  };
  for (let i = 0; i < 300 && !isInWindow(); i += 1) await systemClock.sleep(100);
  assert.ok(isInWindow(), `${live.stats().nextRenewalAt} is not from ${from} to ${to}`);
});

async function openRole(): Promise<void> {
  const http = new IssuerHttp({
    ...{ title: 'the door', serverRoots: rootsOfFile(doors.rootFile) },
    detailOf: (json) => JSON.stringify(json),
  });
  await http.call({
    ...{ attempted: 'make a role', method: 'POST', url: `${doors.url}/v1/pki/roles/workloads` },
    headers: { 'x-vault-token': rootToken, 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ allowed_domains: ['test'], allow_subdomains: true, require_cn: false },
      ...{ allowed_uri_sans: ['spiffe://example.com/host/*'], key_type: 'ec', key_bits: 256 },
    }),
    signal: new AbortController().signal,
  });
}
