import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { Secret } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { type Certificate, formatGeneralName, parseCertificate } from '@countersign/x509';
import {
  exampleYaml,
  issuedOf,
  type LogLine,
  leafOf,
  payments,
  peerOf,
  recordingLog,
  refused,
  request,
  testAuthority,
} from '../test/authority-under-test.ts';

const hour = 3_600_000;
const dns = (value: string) => ({ kind: 'dns', value }) as const;

function namesIn(certificate: Certificate): string[] {
  return certificate.subjectAltNames.map(formatGeneralName);
}

describe('enrolling', () => {
  it('gives the names of the token, once', async () => {
    const authority = await testAuthority();
    const created = await authority.createToken({ spiffeId: payments, dns: ['a.prod.internal'] });
    assert.ok(created.ok);
    const csr = await request();
    assert.deepEqual(namesIn(leafOf(await authority.enrol({ csr, token: created.token }))), [
      `uri:${payments}`,
      'dns:a.prod.internal',
    ]);
    refused(await authority.enrol({ csr, token: created.token }), 'ERR_TOKEN_SPENT');
  });

  it('does not spend the token on a request that is refused', async () => {
    const authority = await testAuthority();
    const created = await authority.createToken({ spiffeId: payments });
    assert.ok(created.ok);
    const { token } = created;
    const greedy = await request({ names: [dns('b.prod.internal')] });
    refused(
      await authority.enrol({ csr: greedy, token }),
      'ERR_POLICY_NAME',
      /join token "[0-9a-f]{16}" does not grant that/,
    );
    issuedOf(await authority.enrol({ csr: await request(), token }));
  });

  it('refuses a wrong secret, a foreign root and a token past its end', async () => {
    const clock = testClock();
    const authority = await testAuthority({ clock });
    const created = await authority.createToken({ spiffeId: payments, ttlMs: 60_000 });
    assert.ok(created.ok);
    const { token } = created;
    const csr = await request();
    const guessed = { ...token, secret: new Secret(new Uint8Array(32)) };
    refused(await authority.enrol({ csr, token: guessed }), 'ERR_TOKEN_UNKNOWN');
    const foreign = { ...token, rootFingerprint: '00'.repeat(32) };
    refused(
      await authority.enrol({ csr, token: foreign }),
      'ERR_TOKEN_UNKNOWN',
      /is for the authority with root/,
    );
    await clock.advance(61_000);
    refused(await authority.enrol({ csr, token }), 'ERR_TOKEN_EXPIRED');
  });

  it('holds a certificate to the lifetime that its token grants', async () => {
    const authority = await testAuthority();
    const created = await authority.createToken({ spiffeId: payments, certificateTtlMs: hour });
    assert.ok(created.ok);
    const { token } = created;
    refused(
      await authority.enrol({ csr: await request(), token, ttlMs: 2 * hour }),
      'ERR_POLICY_TTL',
      /"2h" is longer than the join token's "1h"/,
    );
    const leaf = leafOf(await authority.enrol({ csr: await request(), token }));
    assert.ok(leaf.notAfter - leaf.notBefore <= hour);
  });

  it('does not hand out a token that could never be redeemed', async () => {
    const authority = await testAuthority();
    refused(
      await authority.createToken({ spiffeId: 'spiffe://other.example/a' }),
      'ERR_POLICY_SPIFFE_ID',
    );
    refused(
      await authority.createToken({ spiffeId: payments, dns: ['nowhere.example'] }),
      'ERR_POLICY_DNS',
    );
    refused(
      await authority.createToken({ spiffeId: payments, ttlMs: 365 * 24 * hour }),
      'ERR_POLICY_TTL',
    );
    refused(
      await authority.createToken({ spiffeId: payments, certificateTtlMs: 73 * hour }),
      'ERR_POLICY_TTL',
    );
    const blocked = await authority.revoke(
      { by: 'spiffe-id', value: payments, reason: 'cessationOfOperation', block: true, waitMs: 0 },
      { kind: 'operator' },
    );
    assert.ok(blocked.ok);
    // Found by its name: a million revocations are not read for one token.
    const revocationsAfter = () => assert.fail('the revocations are read one by one');
    Object.assign(authority.ledger, { revocationsAfter });
    refused(await authority.createToken({ spiffeId: payments }), 'ERR_LEDGER_BLOCKED');
  });
});

describe('renewing', () => {
  it('keeps the names and the lifetime, whatever key the request has', async () => {
    const authority = await testAuthority();
    const first = issuedOf(
      await authority.issue({
        csr: await request(),
        spiffeId: payments,
        dns: ['a.prod.internal'],
        ttlMs: 100_000,
      }),
    );
    const second = leafOf(
      await authority.renew({ csr: await request(), peer: peerOf(authority, first) }),
    );
    const old = parseCertificate(first.chain[0]);
    assert.deepEqual(namesIn(second), namesIn(old));
    assert.equal(second.notAfter - second.notBefore, old.notAfter - old.notBefore);
    assert.notEqual(second.serialHex, old.serialHex);
  });

  it('refuses further names, a longer lifetime than is granted, and a revoked certificate', async () => {
    const authority = await testAuthority();
    const first = issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
    const peer = peerOf(authority, first);
    const csr = await request();
    refused(
      await authority.renew({ csr: await request({ names: [dns('a.prod.internal')] }), peer }),
      'ERR_POLICY_NAME',
      /certificate "01[0-9a-f]+" does not grant that/,
    );
    refused(await authority.renew({ csr, peer, ttlMs: 100 * hour }), 'ERR_POLICY_TTL');
    await authority.revoke(
      { by: 'serial', value: first.serialHex.toUpperCase(), reason: 'superseded', waitMs: 0 },
      { kind: 'operator' },
    );
    refused(await authority.renew({ csr, peer }), 'ERR_LEDGER_REVOKED');
  });

  it('refuses a peer of another authority', async () => {
    const [ours, theirs] = [await testAuthority(), await testAuthority()];
    const first = issuedOf(await theirs.issue({ csr: await request(), spiffeId: payments }));
    refused(
      await ours.renew({ csr: await request(), peer: peerOf(theirs, first) }),
      'ERR_RENEW_FOREIGN',
      /leads to root/,
    );
  });
});

describe("the authority's own certificate", () => {
  it('carries its address, which services may not, and no DNS name outside its constraints', async () => {
    const authority = await testAuthority();
    const csr = await request({ key: { type: 'EC', curve: 'P-256' } });
    const own = leafOf(await authority.issueOwn({ csr, ip: ['127.0.0.1'], dns: [] }));
    assert.deepEqual(namesIn(own), ['uri:spiffe://example.com/countersign/ca', 'ip:127.0.0.1']);
    const yaml = exampleYaml.replace(
      'rest: { algorithm',
      'rest: { nameConstraints: { permitted: [lab.internal, secret.prod.internal] }, algorithm',
    );
    const strict = await testAuthority({ yaml });
    refused(await strict.issueOwn({ csr, dns: ['ca.elsewhere.example'] }), 'ERR_POLICY_NO_ISSUER');
  });
});

describe('telling', () => {
  it('logs what was issued and what was refused, never a secret', async () => {
    const lines: LogLine[] = [];
    const authority = await testAuthority({ log: recordingLog(lines) });
    const created = await authority.createToken({ spiffeId: payments });
    assert.ok(created.ok);
    await authority.enrol({ csr: await request(), token: created.token });
    await authority.enrol({ csr: await request(), token: created.token });
    assert.deepEqual(lines.map(({ level, message }) => `${level} ${message}`).slice(-3), [
      'info join token created',
      'info certificate issued',
      'warn certificate refused',
    ]);
    const secret = Buffer.from(created.token.secret.reveal());
    const all = JSON.stringify(lines);
    assert.ok(!all.includes(secret.toString('base64url')) && !all.includes(hash('sha256', secret)));
  });
});
