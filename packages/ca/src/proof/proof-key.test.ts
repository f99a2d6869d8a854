import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { testKey } from '@countersign/testkit';
import { feedDialect, type KeyProof, keyProofText, parseFeedLine } from '@countersign/wire';
import { keySigner, type Signer } from '@countersign/x509';
import {
  issuedOf,
  payments,
  peerOf,
  refused,
  request,
  testAuthority,
} from '../../test/authority-under-test.ts';
import { cursorAt, questionLines, readFeedPage } from '../serve/feed-pages.ts';

async function signed(signer: Signer, csr: Uint8Array, at = Date.now()): Promise<KeyProof> {
  const said = { key: signer.spki.raw, at };
  return { ...said, signature: await signer.sign(keyProofText(said, csr)) };
}

/** An identity that belongs to a long-term key from its enrolment on. */
async function enrolled(proofKey: Signer) {
  const authority = await testAuthority();
  const created = await authority.createToken({ spiffeId: payments });
  assert.ok(created.ok);
  const csr = await request();
  const { token } = created;
  const first = issuedOf(await authority.enrol({ csr, token, proof: await signed(proofKey, csr) }));
  return { authority, first, peer: peerOf(authority, first) };
}

describe('a long-term proof key', () => {
  for (const kind of [
    { type: 'EC', curve: 'P-256' },
    { type: 'EC', curve: 'P-384' },
    { type: 'RSA', bits: 2048 },
    { type: 'Ed25519' },
  ] as const) {
    it(`of kind ${JSON.stringify(kind)} signs each renewal, and the ledger knows it`, async () => {
      const proofKey = keySigner(testKey(kind));
      const { authority, first, peer } = await enrolled(proofKey);
      const csr = await request();
      const proof = await signed(proofKey, csr);
      const renewed = issuedOf(await authority.renew({ csr, peer, proof }));
      const wanted = hash('sha256', proofKey.spki.raw);
      for (const { serialHex } of [first, renewed]) {
        assert.equal((await authority.ledger.certificate(serialHex))?.proofKey, wanted);
      }
    });
  }

  it('is what a thief of the short-lived key lacks, whatever the thief sends', async () => {
    const proofKey = keySigner(testKey());
    const { authority, peer } = await enrolled(proofKey);
    const csr = await request();
    const renew = async (proof?: KeyProof) => authority.renew({ csr, peer, proof });
    refused(await renew(), 'ERR_PROOF_MISSING');
    const thief = keySigner(testKey());
    refused(await renew(await signed(thief, csr)), 'ERR_PROOF_OTHER');
    const forged = { ...(await signed(thief, csr)), key: proofKey.spki.raw };
    refused(await renew(forged), 'ERR_PROOF_SIGNATURE', /not by the proof key/);
    const replayed = await signed(proofKey, await request());
    refused(await renew(replayed), 'ERR_PROOF_SIGNATURE', /not of this request/);
    const old = await signed(proofKey, csr, Date.now() - 6 * 60_000);
    refused(await renew(old), 'ERR_PROOF_SIGNATURE', /was signed at/);
    const touched = { ...(await signed(proofKey, csr)), at: Date.now() + 1000 };
    refused(await renew(touched), 'ERR_PROOF_SIGNATURE');
    issuedOf(await renew(await signed(proofKey, csr)));
  });

  it('is not the key that it vouches for, and none that is weak', async () => {
    const own = keySigner(testKey());
    const { authority, peer } = await enrolled(keySigner(testKey()));
    const csr = await request({ signer: own });
    refused(
      await authority.renew({ csr, peer, proof: await signed(own, csr) }),
      'ERR_PROOF_KEY',
      /is the key of the request/,
    );
    const weak = keySigner(testKey({ type: 'RSA', bits: 1024 }));
    const proof = await signed(weak, csr);
    refused(await authority.renew({ csr, peer, proof }), 'ERR_PROOF_KEY', /1024 bits/);
    const malformed = { ...proof, key: Uint8Array.of(0x30, 1) };
    refused(await authority.renew({ csr, peer, proof: malformed }), 'ERR_PROOF_KEY');
  });

  it('ends what it vouches for where it is revoked', async () => {
    const proofKey = keySigner(testKey());
    const { authority, peer } = await enrolled(proofKey);
    const value = hash('sha256', proofKey.spki.raw);
    const order = { by: 'key', value, reason: 'keyCompromise', waitMs: 0 } as const;
    const revoked = await authority.revoke(order, { kind: 'operator' });
    assert.ok(revoked.ok, JSON.stringify(revoked));
    const csr = await request();
    refused(
      await authority.renew({ csr, peer, proof: await signed(proofKey, csr) }),
      'ERR_LEDGER_BLOCKED',
    );
  });

  it('takes with it what it vouched for: the edges are told of it, which does not show its proof key', async () => {
    const proofKey = keySigner(testKey());
    const { authority, first, peer } = await enrolled(proofKey);
    const csr = await request();
    const renewed = issuedOf(
      await authority.renew({ csr, peer, proof: await signed(proofKey, csr) }),
    );
    const value = hash('sha256', proofKey.spki.raw);
    const order = { by: 'key', value, reason: 'superseded', waitMs: 0 } as const;
    const revoked = await authority.revoke(order, { kind: 'operator' });
    assert.equal(revoked.ok && revoked.matched, 2, JSON.stringify(revoked));
    for (const { serialHex } of [first, renewed]) {
      assert.equal((await authority.ledger.certificateStatus(serialHex)).status, 'revoked');
    }
    const { lines } = await readFeedPage(authority.ledger, cursorAt(0), feedDialect);
    const [told, frame] = lines.trim().split('\n').map(parseFeedLine);
    const runs = [first, renewed].flatMap(({ position }) => [position, position]);
    assert.deepEqual(told?.type === 'covered' && told.runs, runs);
    assert.equal(frame?.type === 'revocation' && frame.pages, 1);
    const asked = { id: '0123456789abcdef', position: 0, by: 'key', value } as const;
    const question = await questionLines(authority.ledger, { ...asked, below: 1_000_000 });
    assert.match(question ?? '', /"type":"covered".*\n.*"pages":1/);
  });
});
