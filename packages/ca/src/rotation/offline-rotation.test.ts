import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { testCa, testClock } from '@countersign/testkit';
import {
  type Certificate,
  certificatesFromPem,
  fingerprintOf,
  parseCertificate,
  validatePath,
} from '@countersign/x509';
import { issuedOf, payments, refused, request } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import { parseCaConfig } from '../ca-config.ts';
import { completeInit } from '../ceremony/complete-init.ts';
import { initOffline } from '../ceremony/init-offline.ts';
import { makeRootKey } from '../ceremony/make-root-key.ts';
import { signRequest } from '../ceremony/sign-request.ts';
import { signRootList } from '../ceremony/sign-root-list.ts';
import { auditLedger } from '../ledger/audit-ledger.ts';
import { verifyAudit } from '../ledger/verify-audit.ts';
import { openAuthority } from '../open-authority.ts';
import { importIntoState } from '../publish/import-into-state.ts';
import { importedLists } from '../publish/imported-list.ts';
import type { CarriedFile, WaitingRequest } from './carried-orders.ts';

const yaml = `
ca:
  root: { curve: P-256, validity: "87600h" }
  intermediate:
    europe: { curve: P-256, policies: [1.3.6.1.4.1.99999.1.1] }
    web: { issuer: europe, curve: P-256, nameConstraints: { permitted: ["internal"] } }
publish: { url: "http://ca.internal:8080", crl: {} }
service_certificates: { validity: "1h", san_policies: { spiffe_trust_domain: example.com } }
`;
const config = parseCaConfig(yaml, 'ca.yaml');
const by = 'operator Alice Adams';

describe('a rotation under an offline root', () => {
  let home = '';
  const at = (name: string) => join(home, name);
  const clock = testClock(systemClock.now());
  const shared = { clock, log: noLog };
  let authority: Authority;
  let first: Certificate;
  let nextRequest = '';
  let initRequest = '';
  const reopen = async () => {
    await authority?.close();
    authority = await openAuthority({ ...shared, config, data: at('state'), meter: noMeter });
  };
  const keys = () => {
    assert.ok(authority.rotation !== undefined);
    return authority.rotation;
  };
  const waiting = async (name: string) => (await keys().show(name)).requests;
  const sign = async (root: string, { file, text }: WaitingRequest, otherRoot?: string) => {
    const directory = at(root);
    const more = otherRoot === undefined ? {} : { otherRoot: at(otherRoot) };
    const options = { ...shared, ...more, directory, request: text, file, by: ['Bob Berg'] };
    const { pem, record } = await signRequest(options);
    return { file: file.replace('.csr', '.pem'), text: pem, record };
  };
  const prepare = (name: string, ...carried: CarriedFile[]) =>
    keys().prepare(name, { by, carried });
  const named = (all: readonly WaitingRequest[], file: string) => {
    const found = all.find((each) => each.file === file);
    assert.ok(found !== undefined, all.map((each) => each.file).join());
    return found;
  };
  const proves = async (anchor: Certificate) => {
    const { chain } = issuedOf(
      await authority.issue({ csr: await request(), spiffeId: payments, issuer: 'web' }),
    );
    const [leaf, ...intermediates] = chain.map((der) => parseCertificate(der));
    const now = clock.now();
    const path = validatePath({ leaf: leaf!, intermediates, anchors: [anchor], at: now });
    assert.ok(path.ok, path.ok ? '' : path.detail);
  };

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-offline-'));
    const init = { ...shared, config, data: at('state'), rootOut: at('root'), configText: yaml };
    const { requests } = await initOffline({ ...init, by: ['Alice Adams'] });
    const signed: { file: string; pem: string }[] = [];
    for (const file of requests) {
      const text = await readFile(file, 'utf8');
      initRequest = text;
      const options = { ...shared, directory: at('root'), request: text, file, by: ['Alice'] };
      signed.push({ file, pem: (await signRequest(options)).pem });
    }
    await completeInit({ ...shared, data: at('state'), signed });
    assert.deepEqual(await readdir(at('state/requests')), []);
    await reopen();
    first = authority.root;
  });
  after(async () => {
    await authority.close();
    await rm(home, { recursive: true, force: true });
  });

  it('of an intermediate right below: its request is carried, and nothing else is taken back', async () => {
    assert.deepEqual(await prepare('europe'), { ok: true, done: true, taken: [] });
    const [order, ...others] = await waiting('europe');
    assert.ok(order !== undefined);
    assert.deepEqual(others, []);
    assert.equal(order.file, 'europe.2-by-root.csr');
    assert.match((await keys().show('europe')).next, /carry 1 request to "root"/);

    // Whatever happens meanwhile: the order stands, and its request is the same.
    await reopen();
    assert.deepEqual(await waiting('europe'), [order]);
    assert.deepEqual(await prepare('europe'), { ok: true, done: false, taken: [] });

    const signed = await sign('root', order);
    assert.equal(signed.record.act, 'intermediate signed');
    const own = { file: 'root.pem', text: pemOf(first) };
    const forged = { file: 'alien.pem', text: testCa().rootPem };
    refused(
      await prepare('europe', forged),
      'ERR_CEREMONY_REQUEST',
      /"alien.pem" has serial ".*", wh/,
    );
    const answer = await prepare('europe', own, signed);
    assert.ok(answer.ok && answer.done);
    const why = 'the hierarchy has it already';
    assert.deepEqual(answer.passedOver, [{ file: 'root.pem', serial: first.serialHex, why }]);
    assert.deepEqual(
      answer.taken?.map((each) => [each.subject, each.by, each.sha256]),
      [['europe.2', 'root', signed.record.certificateSha256]],
    );
    assert.ok((await keys().activate('europe', { by })).ok);
    await proves(first);
    await clock.advance(2 * 3_600_000);
    assert.ok((await keys().retire('europe', { by })).ok);
  });

  it('of the root: its next key is made where no authority is', async () => {
    refused(await prepare('root'), 'ERR_ROTATION_OFFLINE', /so is its next key to be/);
    const options = { ...shared, config, configText: yaml, rootOut: at('next'), by: ['Alice'] };
    const { request: text, record } = await makeRootKey(options);
    assert.equal(record.act, 'root key made');
    nextRequest = text;
    assert.deepEqual(await prepare('root', { file: 'root-2.csr', text }), {
      ...{ ok: true, done: true, taken: [] },
    });
    const files = (await waiting('root')).map(({ file }) => file);
    assert.deepEqual(files, [
      'root.2-by-root.2.csr',
      'root.2-by-root.csr',
      'root-by-root.2.csr',
      'europe.2-by-root.2.csr',
    ]);
    assert.equal(authority.bundle().authorities.length, 1);
    await makeRootKey({ ...options, rootOut: at('stranger') });
  });

  it('has each root sign what is for it, and vouch for its own key by its directory', async () => {
    const all = await waiting('root');
    const link = named(all, 'root.2-by-root.csr');
    const refusals: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [
        () => sign('next', link, 'root'),
        /"root.2-by-root.csr" is for the key ".*" to sign, the root in/,
      ],
      [() => sign('root', link), /is for another root's key: give that root's directory/],
      [() => sign('root', link, 'stranger'), /has the key ".*", the root in ".*stranger" has/],
      [
        () => sign('next', named(all, 'europe.2-by-root.2.csr')),
        /its own certificate is not signed yet/,
      ],
      [() => sign('next', named(all, 'root-by-root.2.csr'), 'root'), /is not signed yet/],
      [() => sign('next', { ...link, text: initRequest }), /is for the key "unnamed" to sign/],
    ];
    for (const [attempt, message] of refusals) await assert.rejects(attempt(), { message });
  });

  it('takes in what is there, a part at a time, and is prepared once it is all of it', async () => {
    const all = await waiting('root');
    const self = await sign('next', named(all, 'root.2-by-root.2.csr'));
    const back = await sign('next', named(all, 'root-by-root.2.csr'), 'root');
    assert.deepEqual([self.record.act, back.record.act], ['root signed', 'root cross-signed']);
    refused(await prepare('root', back), 'ERR_CEREMONY_REQUEST', /comes before "root.2" by itself/);
    assert.ok((await prepare('root', back, self)).ok);
    await reopen();
    const later = await waiting('root');
    assert.equal(later.length, 2);
    const again = { file: 'root-2.csr', text: nextRequest };
    const { serialHex: serial } = certificatesFromPem(self.text)[0]!;
    const passedOver = [{ file: self.file, serial, why: 'it was taken before' }];
    assert.deepEqual(await prepare('root', again, self), {
      ...{ ok: true, done: false, taken: [], passedOver },
    });

    const link = await sign('root', named(later, 'root.2-by-root.csr'), 'next');
    const below = await sign('next', named(later, 'europe.2-by-root.2.csr'));
    const whole = await prepare('root', link, below);
    assert.ok(whole.ok && whole.taken?.length === 2);
    assert.equal((await keys().show('root')).state, 'prepared');
    assert.deepEqual(await waiting('root'), []);
    assert.equal(authority.bundle().authorities.length, 2);
    // Whoever was given either root alone gets there.
    for (const anchor of authority.bundle().authorities) await proves(anchor);
  });

  it('goes on as every other rotation does, through a restart and back again', async () => {
    const [, second] = authority.bundle().authorities;
    assert.ok(second !== undefined);
    for (const step of ['activate', 'rollBack', 'activate'] as const) {
      const taken = await keys()[step]('root', { by, force: true });
      assert.ok(taken.ok && taken.done, step);
      for (const anchor of [first, second]) await proves(anchor);
    }
    await reopen();
    assert.equal(authority.rootFingerprint, fingerprintOf(second));
    for (const anchor of [first, second]) await proves(anchor);
    await clock.advance(2 * 3_600_000);
    assert.ok((await keys().retire('root', { by })).ok);
    await proves(second);
    assert.deepEqual(authority.bundle().authorities.map(fingerprintOf), [fingerprintOf(second)]);
    assert.deepEqual((await verifyAudit(authority.ledger)).findings, []);
    assert.deepEqual((await auditLedger(authority.ledger)).findings, []);
    const rows = await authority.ledger.auditAfter(0, 1000);
    const imports = rows.filter(({ said }) => said?.includes('"asked":"import"'));
    assert.ok(imports.some(({ said }) => /"detail":".*europe.2 by root.2 [0-9a-f]{64}/.test(said)));
  });

  it('gives up what was ordered when it is rolled back', async () => {
    assert.ok((await prepare('europe')).ok);
    const [order] = await waiting('europe');
    const signed = await sign('next', order!);
    const { openIntents } = await authority.ledger.status();
    assert.ok((await keys().rollBack('europe', { by })).ok);
    assert.equal((await authority.ledger.status()).openIntents, openIntents - 1);
    const again = await prepare('europe', signed);
    assert.ok(again.ok && again.taken?.length === 0);
    assert.deepEqual(
      again.passedOver?.map(({ why }) => why),
      ['its order was given up'],
    );
    assert.equal((await keys().show('europe')).generations.at(-1)?.name, 'europe.4');
    assert.ok((await keys().rollBack('europe', { by })).ok);
    assert.deepEqual(authority.rotation?.document.orders, []);
  });

  it('takes a list of each root that there was where nobody serves, to be published with its name', async () => {
    await authority.close();
    const taken: { issuer: string; path: string }[] = [];
    for (const directory of ['root', 'next']) {
      const options = { ...shared, directory: at(directory), by: ['Bob Berg'], revoke: [] };
      const { der } = await signRootList(options);
      const where = { config, data: at('state'), secrets: { env: {} } };
      const imported = await importIntoState({ ...shared, ...where, list: der });
      assert.ok(imported.ok, imported.ok ? '' : imported.detail);
      taken.push({ issuer: imported.issuer, path: imported.path });
    }
    authority = await openAuthority({ ...shared, config, data: at('state'), meter: noMeter });
    const held = await importedLists(authority.publishers(), authority.ledger);
    assert.deepEqual(
      held.map(({ issuer, path }) => ({ issuer, path })),
      taken,
    );
    assert.deepEqual(
      taken.map(({ issuer }) => issuer),
      ['root', 'root.2'],
    );
  });
});

function pemOf({ raw }: Certificate): string {
  const body = Buffer.from(raw)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
}
