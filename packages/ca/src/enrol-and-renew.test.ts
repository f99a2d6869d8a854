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
import type { Authority, Issued } from './index.ts';
import { revokedOf } from './status/revoked-authorities.ts';

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

describe('an intermediate that is revoked and blocked', () => {
  const two = exampleYaml.replace(/ {6}nameConstraints:\n.*\n.*\n/, '');
  const block = (authority: Authority, value: string) =>
    authority.revoke(
      { by: 'issuer', value, reason: 'cACompromise', waitMs: 0 },
      { kind: 'operator' },
    );

  it('is passed over, while a renewal stays with its issuer as long as that stands', async () => {
    const authority = await testAuthority({ yaml: two });
    const order = async (issuer?: string) =>
      issuedOf(await authority.issue({ csr: await request(), spiffeId: payments, issuer }));
    const ofRest = await order('rest');
    const renewed = async (of: Issued) =>
      issuedOf(await authority.renew({ csr: await request(), peer: peerOf(authority, of) })).issuer;
    assert.deepEqual([(await order()).issuer, await renewed(ofRest)], ['production', 'rest']);
    const created = await authority.createToken({ spiffeId: payments });
    assert.ok(created.ok);

    assert.ok((await block(authority, 'production')).ok);
    const enrolled = issuedOf(
      await authority.enrol({ csr: await request(), token: created.token }),
    );
    const issuers = [enrolled.issuer, (await order()).issuer, await renewed(ofRest)];
    assert.deepEqual(issuers, ['rest', 'rest', 'rest']);
    const named = { csr: await request(), spiffeId: payments, issuer: 'production' };
    const way =
      /"production" signs nothing: it is revoked .*root prepare --intermediate production/;
    refused(await authority.issue(named), 'ERR_ROTATION_NO_ISSUER', way);
    assert.match((await authority.explain(named)).refusals[0]?.detail ?? '', way);
    const { issuer: _, ...unnamed } = named;
    assert.equal((await authority.explain(unnamed)).certificate?.issuer, 'rest');
    const [finding] = await revokedOf(authority);
    assert.match(
      finding?.detail ?? '',
      /root prepare --intermediate production gives it a new key/,
    );

    const last = await order();
    assert.ok((await block(authority, 'rest')).ok);
    const none = /"production" signs nothing: .*; intermediate "rest" signs nothing: /;
    refused(await authority.issue(unnamed), 'ERR_ROTATION_NO_ISSUER', none);
    refused(await authority.createToken({ spiffeId: payments }), 'ERR_ROTATION_NO_ISSUER', none);
    refused(
      await authority.renew({ csr: unnamed.csr, peer: peerOf(authority, last) }),
      'ERR_ROTATION_NO_ISSUER',
    );
  });

  it('is passed over although the news of another process came with the order alone', async () => {
    const authority = await testAuthority({ yaml: two });
    const { ledger } = authority;
    const standing = ledger.blocking;
    const asked: string[] = [];
    Object.assign(ledger, {
      blocking: (_by: string, value: string) => {
        asked.push(value);
        return Promise.resolve(undefined);
      },
      certificateStatus: () => Promise.resolve({ status: 'good' }),
    });
    assert.ok((await block(authority, 'production')).ok);
    const order = async () => await authority.issue({ csr: await request(), spiffeId: payments });
    refused(await order(), 'ERR_LEDGER_BLOCKED');
    const before = asked.length;
    refused(await order(), 'ERR_LEDGER_BLOCKED');
    assert.equal(asked.length, before + 2, 'each is asked anew once');
    Object.assign(ledger, { blocking: standing });
    assert.equal(issuedOf(await order()).issuer, 'rest');
    const known = asked.length;
    Object.assign(ledger, { blocking: () => assert.fail('asked again') });
    assert.equal(issuedOf(await order()).issuer, 'rest');
    assert.equal(asked.length, known);
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
