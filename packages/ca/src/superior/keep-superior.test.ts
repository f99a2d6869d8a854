import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { noLog } from '@countersign/base';
import {
  type IntermediateOrder,
  type IntermediateSigner,
  makeBundle,
  staticBundles,
  verifyPeer,
} from '@countersign/spiffe';
import { type TestCa, testCa, testClock } from '@countersign/testkit';
import {
  type Certificate,
  certificateRequestFromPem,
  type Extension,
  encodePem,
  extension,
  keyIdOf,
  parseCertificate,
  parseCertificateRequest,
  signCertificate,
} from '@countersign/x509';
import { payments, request, testAuthority } from '../../test/authority-under-test.ts';
import { fileExchange } from './file-exchange.ts';
import { keepSuperior } from './keep-superior.ts';

const day = 86_400_000;

interface Wrong {
  readonly pathLen?: number;
  readonly isLeaf?: boolean;
  readonly more?: readonly Extension[];
  readonly lateMs?: number;
}

/** Signs as another authority would, with what a test wants to be wrong. */
async function certify(
  by: TestCa,
  order: Pick<IntermediateOrder, 'csr' | 'notAfter'>,
  now: number,
  { pathLen = 1, isLeaf = false, more = [], lateMs = 0 }: Wrong = {},
): Promise<Certificate> {
  const { spki, subject } = parseCertificateRequest(order.csr);
  const der = await signCertificate(
    {
      serial: new Uint8Array([0x40, ...randomBytes(15)]),
      ...{ issuer: by.certificate.subject, subject, spki },
      ...{ notBefore: now - 60_000, notAfter: order.notAfter + lateMs },
      extensions: [
        isLeaf ? extension.basicConstraints() : extension.basicConstraints({ ca: true, pathLen }),
        extension.keyUsage(isLeaf ? ['digitalSignature'] : ['keyCertSign', 'cRLSign']),
        extension.subjectKeyId(keyIdOf(spki)),
        extension.authorityKeyId(by.certificate.subjectKeyId ?? keyIdOf(by.certificate.spki)),
        ...more,
      ],
    },
    by.signer,
  );
  return parseCertificate(der);
}

async function world(t: TestContext) {
  const clock = testClock();
  const authority = await testAuthority({ clock });
  const foreign = testCa({
    name: 'another root',
    at: clock.now(),
    notAfter: clock.now() + 4000 * day,
  });
  const between = foreign.intermediate({ notAfter: clock.now() + 3000 * day });
  const directory = await mkdtemp(join(tmpdir(), 'superior-'));
  t.after(async () => {
    await authority.close();
    await rm(directory, { recursive: true, force: true });
  });
  const asked: IntermediateOrder[] = [];
  const how = { wrong: {} as Wrong, isAway: false };
  const signer: IntermediateSigner = {
    title: 'another authority',
    async sign(order) {
      asked.push(order);
      if (how.isAway) throw new Error('it is away');
      const own = await certify(between, order, clock.now(), how.wrong);
      return { chain: [own, between.certificate], roots: [foreign.root] };
    },
  };
  const file = join(directory, 'superior.pem');
  const keep = async (more = {}) => {
    const keeper = await keepSuperior({
      ...{ authority, signer, validityMs: 90 * day, file, clock, log: noLog },
      ...more,
    });
    t.after(() => keeper.stop());
    return keeper;
  };
  const issue = async () => {
    const order = { csr: await request({}), spiffeId: payments, dns: [], ip: [] };
    const issued = await authority.issue(order);
    assert.ok(issued.ok, JSON.stringify(issued));
    return issued.chain.map((der) => parseCertificate(der));
  };
  /** Whether a peer that has this root alone would accept it. */
  const isTakenBy = (root: Certificate, chain: readonly Certificate[]) =>
    verifyPeer({
      ...{ chain, at: clock.now(), purpose: 'client' },
      bundles: staticBundles(makeBundle('example.com', [root])),
    });
  return { clock, authority, foreign, asked, how, keep, issue, isTakenBy, directory };
}

test('chains lead to the root of the other authority, and to the own one as before', async (t) => {
  const { authority, foreign, keep, issue, isTakenBy, asked } = await world(t);
  assert.equal(isTakenBy(foreign.root, await issue()).ok, false);
  const keeper = await keep();
  assert.match(keeper.unwell() ?? '', /^not certified by another authority: /);
  await keeper.look();
  assert.equal(keeper.unwell(), undefined);
  const chain = await issue();
  for (const root of [foreign.root, authority.root]) assert.equal(isTakenBy(root, chain).ok, true);
  assert.equal(asked[0]?.pathLen, 1);
  assert.equal(authority.bundle().authorities.length, 1);
});

test('it is certified again long before the end, and another authority that is away is no outage', async (t) => {
  const { clock, foreign, keep, issue, isTakenBy, asked, how } = await world(t);
  const keeper = await keep();
  await keeper.look();
  await keeper.look();
  assert.equal(asked.length, 1);
  how.isAway = true;
  await clock.advance(61 * day);
  await assert.rejects(keeper.look(), /it is away/);
  assert.equal(keeper.unwell(), undefined);
  assert.equal(isTakenBy(foreign.root, await issue()).ok, true);
  how.isAway = false;
  const before = asked.length;
  await keeper.look();
  assert.equal(asked.length, before + 1);
  await clock.advance(40 * day);
  assert.equal(isTakenBy(foreign.root, await issue()).ok, true);
});

test('a start needs nobody, and takes nothing that is not ours any more', async (t) => {
  const { keep, how, asked, issue, foreign, isTakenBy, directory, clock } = await world(t);
  const first = await keep();
  await first.look();
  await first.stop();
  how.isAway = true;
  const before = asked.length;
  const second = await keep({ roots: async () => [foreign.root] });
  assert.equal(second.unwell(), undefined);
  assert.equal(asked.length, before);
  assert.equal(isTakenBy(foreign.root, await issue()).ok, true);
  await second.stop();
  const other = testCa({ at: clock.now() });
  const third = await keep({ roots: async () => [other.root] });
  assert.match(third.unwell() ?? '', /^not certified by another authority/);
  assert.match(await readFile(join(directory, 'superior.pem'), 'utf8'), /BEGIN CERTIFICATE/);
});

test('what was not asked for is refused with both sides, and what there is stays', async (t) => {
  const { keep, how, foreign } = await world(t);
  const cases: readonly (readonly [wrong: Wrong, message: RegExp])[] = [
    [
      { pathLen: 0 },
      /basicConstraints "CA:true, path length 0", asked for was "CA:true, path length 1"/,
    ],
    [{ isLeaf: true }, /basicConstraints "CA:false, .*", asked for was "CA:true, path length 1"/],
    [{ lateMs: 3 * day }, /notAfter ".*", asked for was ".* at the latest"/],
    [
      { more: [extension.nameConstraints({ permitted: [{ kind: 'dns', value: 'a.example' }] })] },
      /nameConstraints "some", asked for was "none"/,
    ],
    [{ more: [extension.extKeyUsage(['serverAuth'])] }, /extKeyUsage "some", asked for was "none"/],
    [
      { more: [extension.subjectAltName([{ kind: 'uri', value: 'spiffe://example.org' }])] },
      /subjectAltName "1 names", asked for was "none"/,
    ],
  ];
  for (const [wrong, message] of cases) {
    how.wrong = wrong;
    const keeper = await keep();
    await assert.rejects(keeper.look(), { code: 'ERR_SUPERIOR_ANSWER', message });
    await keeper.stop();
  }
  how.wrong = {};
  const elsewhere = await keep({ roots: async () => [testCa().root] });
  await assert.rejects(elsewhere.look(), { code: 'ERR_SUPERIOR_ROOT' });
  await elsewhere.stop();
  const keeper = await keep({ roots: async () => [foreign.root] });
  await keeper.look();
  assert.equal(keeper.unwell(), undefined);
});

test('files are carried there and back', async (t) => {
  const { clock, foreign, keep, issue, isTakenBy, directory } = await world(t);
  const [requestFile, signedFile] = [join(directory, 'ours.csr'), join(directory, 'signed.pem')];
  const signer = fileExchange({ requestFile, signedFile, now: () => clock.now() });
  const keeper = await keep({ signer, roots: async () => [foreign.root] });
  await keeper.look();
  assert.match(
    keeper.unwell() ?? '',
    /^not certified by whoever signs ".*ours\.csr": .* has not answered yet$/,
  );
  const csr = certificateRequestFromPem(await readFile(requestFile, 'utf8')).raw;
  const notAfter = clock.now() + 90 * day;
  const sign = async (until: number) => {
    const own = await certify(foreign, { csr, notAfter: until }, clock.now());
    await writeFile(signedFile, encodePem('CERTIFICATE', own.raw));
    return own.serialHex;
  };
  await sign(notAfter);
  await keeper.look();
  assert.equal(keeper.unwell(), undefined);
  assert.equal(isTakenBy(foreign.root, await issue()).ok, true);
  await clock.advance(70 * day);
  await keeper.look();
  const next = await sign(clock.now() + 90 * day);
  await keeper.look();
  assert.ok((await issue()).some(({ serialHex }) => serialHex === next));
});
