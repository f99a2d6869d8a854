import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Clock, CountersignError, noLog, noMeter, systemClock } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { buildCrl, generateKeyPair, keySigner, parseCrl } from '@countersign/x509';
import { testAuthority } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import {
  completeInit,
  initOffline,
  openAuthority,
  parseCaConfig,
  signRequest,
  signRootList,
} from '../index.ts';
import { startPublishing } from '../publish/start-publishing.ts';
import { watchRevoked } from '../status/revoked-authorities.ts';
import { servedStatus } from '../status/served-status.ts';

const yaml = `
ca:
  root: { curve: P-256 }
  intermediate:
    services: { curve: P-256 }
publish: { url: "http://ca.internal:8080", crl: { root_validity: 720h } }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.internal"] }
`;
const day = 86_400_000;

describe('the list of a root that is offline', () => {
  let home = '';
  let [data, root] = ['', ''];
  let authority: Authority;
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  const shared = { clock, log: noLog };
  const config = parseCaConfig(yaml, 'ca.yaml');
  const by = ['Alice Adams'];
  const sign = (more: Partial<Parameters<typeof signRootList>[0]> = {}) =>
    signRootList({ ...shared, directory: root, by, revoke: [], ...more });
  const refusal = async (bytes: Uint8Array) => {
    const answer = await authority.importList(bytes);
    return answer.ok ? 'taken' : `${answer.code}: ${answer.detail}`;
  };

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-root-list-'));
    [data, root] = [join(home, 'state'), join(home, 'root')];
    await initOffline({ ...shared, config, configText: yaml, data, rootOut: root, by });
    const request = await readFile(join(data, 'requests', 'services.csr'), 'utf8');
    const { pem } = await signRequest({ ...shared, directory: root, request, file: 'x.csr', by });
    await completeInit({ ...shared, data, signed: [{ file: 'services.pem', pem }] });
    authority = await openAuthority({ ...shared, config, data, meter: noMeter });
  });
  after(async () => {
    await authority.close();
    await rm(home, { recursive: true });
  });

  it('is signed with the next number each time, and keeps what was revoked', async () => {
    const [services] = authority.intermediates();
    assert.ok(services);
    const serialHex = authority.publishers()[1]?.certificate.serialHex ?? '';
    const first = await sign();
    const second = await sign({ revoke: [{ serialHex, reason: 'cACompromise' }] });
    const third = await sign();
    const lists = [first, second, third].map(({ der }) => parseCrl(der));
    assert.deepEqual(
      lists.map(({ crlNumber, entries }) => [crlNumber, entries.size]),
      [
        [1n, 0],
        [2n, 1],
        [3n, 1],
      ],
    );
    assert.equal(lists[2]?.entries.get(serialHex)?.reason, 'cACompromise');
    assert.match(await readFile(join(root, 'ceremony.jsonl'), 'utf8'), /"act":"list signed"/);
    await assert.rejects(sign({ revoke: [{ serialHex: '0badcafe', reason: 'superseded' }] }), {
      code: 'ERR_CEREMONY_LIST',
    });
  });

  it('is taken over and published at the address that intermediates name, and by its number alone replaced', async () => {
    const running = {
      ...{ publishing: undefined, retention: undefined, clockWatch: undefined },
      ...{ revoked: undefined, identity: undefined },
    };
    const lists = async () => {
      const { findings = [] } = await servedStatus({
        ...{ authority, running, version: '0', startedAt: 0, clock },
      });
      return findings.filter(({ about }) => about === 'lists').map(({ detail }) => detail);
    };
    const [missing = ''] = await lists();
    assert.match(missing, /^list "\/crl\/root-.*never imported.*sign --root.*--crl.*--import/);
    const older = await sign();
    const newer = await sign();
    const taken = await authority.importList(newer.der);
    assert.ok(taken.ok);
    assert.deepEqual(await lists(), []);
    assert.equal(taken.untold.length, 1);
    const publishing = await startPublishing({ authority, port: 0, ...shared, meter: noMeter });
    assert.ok(publishing);
    try {
      await publishing.takeUpImported();
      const named = authority.publishers()[1]?.certificate.crlDistributionPoints?.[0];
      assert.match(JSON.stringify(named), new RegExp(taken.path.replaceAll('/', '\\/')));
      const response = await fetch(publishing.url + taken.path);
      assert.equal(response.headers.get('content-type'), 'application/pkix-crl');
      assert.deepEqual(new Uint8Array(await response.arrayBuffer()), newer.der);
      assert.match(await refusal(older.der), /^ERR_PUBLISH_IMPORT: .*number \d+, the one at hand/);
      const again = await authority.importList(newer.der);
      assert.ok(again.ok && again.repeated);
      // It revokes a key that issues now: whoever asks for health or status is told so.
      const watch = watchRevoked({ authority, ...shared });
      await watch.look();
      watch.stop();
      assert.match(
        watch.finding() ?? '',
        /^certificate of "services", .*list \d+ of "root" \(cACom/,
      );
      const watched = { ...running, publishing, revoked: watch };
      const parts = { authority, running: watched, version: '0', startedAt: 0, clock };
      const { findings = [] } = await servedStatus(parts);
      assert.ok(findings.some(({ detail }) => detail === watch.finding()));
    } finally {
      await publishing.close(0);
    }
  });

  it('is refused where it is over, of another key, or no whole list', async () => {
    const { der } = await sign({ validityMs: day });
    aheadMs = 2 * day;
    assert.match(await refusal(der), /^ERR_PUBLISH_IMPORT: the list ended at/);
    aheadMs = 0;
    const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
    const foreign = await buildCrl({
      signer: keySigner(privateKey),
      issuer: authority.root.subject,
      thisUpdate: systemClock.now(),
      nextUpdate: systemClock.now() + day,
      crlNumber: 99n,
      entries: [],
    });
    assert.match(await refusal(foreign), /^ERR_PUBLISH_IMPORT: the list is signed by none/);
    const { crl } = { crl: der.slice() };
    crl[crl.byteLength - 1] = (crl.at(-1) ?? 0) ^ 1;
    assert.match(await refusal(crl), /signed by none/);
  });
});

it('tells in status and health what was changed behind an authority that serves, until it is right again', async () => {
  const authority = await testAuthority();
  const { ledger } = authority;
  const clock = testClock();
  const watch = watchRevoked({ authority, clock, log: noLog });
  const running = {
    ...{ publishing: undefined, retention: undefined, clockWatch: undefined },
    ...{ revoked: watch, identity: undefined },
  };
  const status = async () =>
    (await servedStatus({ authority, running, version: '1', startedAt: 0, clock })).findings;
  await watch.look();
  assert.deepEqual([watch.finding(), await status()], [undefined, []]);

  const proveDocuments = ledger.proveDocuments;
  const detail = 'document "hierarchy": it has version 1, the audit trail says 2';
  ledger.proveDocuments = () => Promise.reject(new CountersignError('ERR_LEDGER_TAMPERED', detail));
  await watch.look();
  assert.deepEqual([watch.finding(), await status()], [detail, [{ about: 'ledger', detail }]]);

  ledger.proveDocuments = proveDocuments;
  await watch.look();
  assert.deepEqual([watch.finding(), await status()], [undefined, []]);
  watch.stop();
  await authority.close();
});
