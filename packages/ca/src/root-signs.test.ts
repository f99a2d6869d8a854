import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { makeSvid, staticBundles, verifyPeer } from '@countersign/spiffe';
import { buildCertificateRequest, generateKeyPair, keySigner } from '@countersign/x509';
import { initAuthority, openAuthority, parseCaConfig } from './index.ts';

const yaml = (more: string, root = '') => `
ca:
  root: { curve: P-256, signs_services: true${root} }
${more}service_certificates: { san_policies: { spiffe_trust_domain: example.org } }
`;

test('a root that signs services itself gives chains of one certificate, also after a restart', async () => {
  const data = join(mkdtempSync(join(tmpdir(), 'countersign-root-')), 'state');
  const config = parseCaConfig(yaml(''), 'ca.yaml');
  const tools = { clock: systemClock, log: noLog };
  await initAuthority({ config, data, ...tools });
  for (const round of [1, 2]) {
    const authority = await openAuthority({ config, data, ...tools, meter: noMeter });
    const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
    const csr = await buildCertificateRequest({ signer: keySigner(privateKey) });
    const spiffeId = `spiffe://example.org/round-${round}`;
    const issued = await authority.issue({ csr, spiffeId });
    assert.ok(issued.ok);
    const svid = makeSvid(issued.chain, privateKey);
    assert.equal(svid.chain.length, 1);
    const bundles = staticBundles(authority.bundle());
    const facts = { chain: svid.chain, bundles, at: systemClock.now(), purpose: 'server' } as const;
    const verified = verifyPeer(facts);
    assert.ok(verified.ok);
    assert.deepEqual(verified.peer.chain[1]?.raw, authority.root.raw);
    const record = await authority.ledger.certificate(issued.serialHex);
    assert.equal(record?.issuer, 'root');
    await authority.close();
  }
  rmSync(join(data, '..'), { recursive: true });
});

test('a root that signs services itself goes without intermediates of the file, and without lists', () => {
  for (const [more, reason] of [
    ['  intermediate: { services: { curve: P-256 } }\n', /without intermediates of the file/],
    ['publish: { port: 0 }\n', /goes without publish/],
  ] as const) {
    assert.throws(() => parseCaConfig(yaml(more), 'ca.yaml'), reason);
  }
});
