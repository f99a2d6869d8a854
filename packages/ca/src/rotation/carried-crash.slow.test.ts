import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Clock, noLog, noMeter, systemClock, toHex } from '@countersign/base';
import type { RotationResponse, RotationStep } from '@countersign/wire';
import { parseCertificate, validatePath, verifySignature } from '@countersign/x509';
import { attemptRotation } from '../../test/attempt-rotation.ts';
import { issuedOf, request } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import { parseCaConfig } from '../ca-config.ts';
import { completeInit } from '../ceremony/complete-init.ts';
import { initOffline } from '../ceremony/init-offline.ts';
import { makeRootKey } from '../ceremony/make-root-key.ts';
import { signRequest } from '../ceremony/sign-request.ts';
import { auditLedger } from '../ledger/audit-ledger.ts';
import { verifyAudit } from '../ledger/verify-audit.ts';
import { openAuthority } from '../open-authority.ts';
import type { CarriedFile, WaitingRequest } from './carried-orders.ts';
import { takeRotationStep } from './take-rotation-step.ts';

const yaml = `
ca:
  root: { curve: P-256 }
  intermediate:
    europe: { curve: P-256 }
    web: { issuer: europe, curve: P-256 }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
`;
const config = parseCaConfig(yaml, 'ca.yaml');
const spiffeId = 'spiffe://example.com/ns/prod/sa/payments';
/** Orders that are in no document are given up after ten minutes. */
const later: Clock = { ...systemClock, now: () => systemClock.now() + 11 * 60_000 };

describe('a rotation under an offline root that is killed at each write', () => {
  let home = '';
  let made = 0;
  const at = (name: string) => join(home, name);
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-carried-'));
    const shared = { clock: systemClock, log: noLog };
    const by = ['Alice Adams'];
    const options = { ...shared, config, configText: yaml, by };
    const { requests } = await initOffline({ ...options, data: at('fresh'), rootOut: at('root') });
    const [file = ''] = requests;
    const text = await readFile(file, 'utf8');
    const { pem } = await signRequest({
      ...shared,
      directory: at('root'),
      request: text,
      file,
      by,
    });
    await completeInit({ ...shared, data: at('fresh'), signed: [{ file, pem }] });
    const next = await makeRootKey({ ...options, rootOut: at('next') });
    const authority = await open(at('fresh'));
    made = (await authority.ledger.status()).position;
    await authority.close();

    // What was carried to whoever begins with it, and to whoever ends with it.
    await cp(at('fresh'), at('root-begins'), { recursive: true });
    await carry('root-begins', [{ file: 'root-2.csr', text: next.request }]);
    await cp(at('next'), at('next-signed'), { recursive: true });
    for (const [name, from] of [
      ['europe', 'fresh'],
      ['root', 'root-begins'],
    ] as const) {
      await cp(at(from), at(`${name}-ends`), { recursive: true });
      const { stdout } = await attemptRotation(at(`${name}-ends`), ['prepare', name]);
      const { requests: waiting = [] }: RotationResponse = JSON.parse(stdout);
      await carry(`${name}-ends`, await signAll(waiting, at('next-signed')));
    }
  });
  after(() => rm(home, { recursive: true, force: true }));

  const stories = [
    { name: 'europe', from: 'fresh', next: 'next', ordered: 1 },
    { name: 'europe', from: 'europe-ends', next: 'next', ordered: 1 },
    { name: 'root', from: 'root-begins', next: 'next', ordered: 4 },
    { name: 'root', from: 'root-ends', next: 'next-signed', ordered: 4 },
  ];
  for (const { name, from, next, ordered } of stories) {
    it(`goes on with prepare of "${name}", or back, from "${from}"`, {
      timeout: 600_000,
    }, async (t) => {
      let kills = 0;
      for (let n = 1; ; n += 1) {
        const before = kills;
        for (const when of ['before', 'after'] as const) {
          const work = at('killed');
          await cp(at(from), work, { recursive: true });
          const { signal } = await attemptRotation(work, ['prepare', name, when, String(n)]);
          if (signal !== null) kills += 1;
          await cp(work, at('killed-back'), { recursive: true });
          await goOn(work, name, at(next));
          await goBack(at('killed-back'), name);
          for (const each of ['killed', 'killed-back']) await rm(at(each), { recursive: true });
        }
        if (kills === before) break;
      }
      t.diagnostic(`${kills} kills`);
      assert.ok(kills >= 2 * (ordered + 1));
    });
  }

  /** Whatever was left: what waits is signed and carried, and the new key is prepared, once. */
  async function goOn(data: string, name: string, nextRoot: string): Promise<void> {
    const next = at('next-of-this');
    await cp(nextRoot, next, { recursive: true });
    const authority = await open(data);
    try {
      await proves(authority);
      const carried = await carriedTo(data);
      const begun = await step(authority, name, 'prepare', carried);
      const waiting = begun.requests ?? [];
      const ended =
        waiting.length === 0
          ? begun
          : await step(authority, name, 'prepare', await signAll(waiting, next));
      const { state, generations } = ended;
      assert.equal(state, 'prepared');
      assert.equal(generations.length, 2);
      assert.equal(authority.bundle().authorities.length, name === 'root' ? 2 : 1);
      await proves(authority);
      assert.deepEqual(await authority.ledger.openIntents(), []);
      assert.deepEqual(authority.rotation?.document.orders, []);
      const taken = await step(authority, name, 'activate');
      assert.equal(taken.state, 'active');
      await proves(authority);
    } finally {
      await authority.close();
      await rm(next, { recursive: true });
    }
  }

  /** Whatever was left: the new key is given up, and no certificate leads to it. */
  async function goBack(data: string, name: string): Promise<void> {
    const authority = await open(data);
    try {
      const { state } = await step(authority, name, 'show');
      if (state !== 'steady') {
        assert.equal((await step(authority, name, 'rollback')).state, 'steady');
      }
      const inForce = authority.rotation!.document.generations.flatMap((each) =>
        each.phase === 'active'
          ? each.certificates.map((of) => toHex(of.certificate.spki.raw))
          : [],
      );
      for (const record of await authority.ledger.recordsAfter(made, 1000)) {
        if (record.kind !== 'issued') continue;
        const { serialHex, der } = record;
        const { spki, tbs, signature, signatureAlgorithm, basicConstraints } =
          parseCertificate(der);
        const isSelfSigned = verifySignature(spki, signatureAlgorithm, tbs, signature);
        const isOfKeyInForce = inForce.includes(toHex(spki.raw));
        if (basicConstraints?.ca !== true || isSelfSigned || isOfKeyInForce) continue;
        assert.equal((await authority.ledger.certificateStatus(serialHex)).status, 'revoked');
      }
      assert.equal(authority.bundle().authorities.length, 1);
      await proves(authority);
    } finally {
      await authority.close();
    }
  }

  async function signAll(
    waiting: readonly Pick<WaitingRequest, 'file' | 'text'>[],
    next: string,
  ): Promise<CarriedFile[]> {
    const own = waiting.toSorted((a, b) => Number(isOwnFile(b.file)) - Number(isOwnFile(a.file)));
    const signed: CarriedFile[] = [];
    for (const { file, text } of own) {
      const isByNext = file.endsWith('-by-root.2.csr');
      const [directory, otherRoot] = isByNext ? [next, at('root')] : [at('root'), next];
      const shared = { clock: systemClock, log: noLog, by: ['Bob Berg'] };
      const { pem } = await signRequest({ ...shared, directory, otherRoot, request: text, file });
      signed.push({ file: file.replace('.csr', '.pem'), text: pem });
    }
    return signed;
  }

  async function carry(name: string, files: readonly CarriedFile[]): Promise<void> {
    const directory = join(at(name), 'carried');
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory);
    for (const { file, text } of files) await writeFile(join(directory, file), text);
  }
});

function open(data: string): Promise<Authority> {
  return openAuthority({ config, data, clock: later, log: noLog, meter: noMeter });
}

async function step(
  authority: Authority,
  name: string,
  what: RotationStep,
  carried: readonly CarriedFile[] = [],
): Promise<RotationResponse> {
  const order = { step: what, authority: name, force: true, carried };
  const taken = await takeRotationStep(authority.rotation, order);
  assert.ok(taken.ok, taken.ok ? '' : `${what}: ${taken.code}: ${taken.detail}`);
  return taken;
}

/** It issues what whoever trusts any root of the bundle accepts, and its ledger is sound. */
async function proves(authority: Authority): Promise<void> {
  const wish = { csr: await request(), spiffeId, issuer: 'web' };
  const { chain } = issuedOf(await authority.issue(wish));
  const [leaf, ...intermediates] = chain.map((der) => parseCertificate(der));
  for (const anchor of authority.bundle().authorities) {
    const path = validatePath({ leaf: leaf!, intermediates, anchors: [anchor], at: later.now() });
    assert.ok(path.ok, path.ok ? '' : path.detail);
  }
  assert.deepEqual((await verifyAudit(authority.ledger)).findings, []);
  assert.deepEqual((await auditLedger(authority.ledger)).findings, []);
}

async function carriedTo(data: string): Promise<CarriedFile[]> {
  const directory = join(data, 'carried');
  const files = await readdir(directory).catch(() => []);
  const read = async (file: string) => ({
    file,
    text: await readFile(join(directory, file), 'utf8'),
  });
  return Promise.all(files.map(read));
}

function isOwnFile(file: string): boolean {
  return file.startsWith('root.2-by-root.2');
}
