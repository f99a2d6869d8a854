import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Clock, noLog, noMeter, systemClock } from '@countersign/base';
import { bundleDigest } from '@countersign/spiffe';
import { type PostgresServer, postgresServer } from '@countersign/testkit';
import {
  certificatesFromPem,
  fingerprintOf,
  parseCertificate,
  validatePath,
} from '@countersign/x509';
import { issuedOf, refused, request, testAuthority } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';
import { readStateCertificates } from '../state-certificates.ts';
import { formatRotationDocument } from './rotation-document.ts';

const found = await postgresServer({ given: process.env.DATABASE_URL });
if ('skip' in found) it('two processes over one ledger', { skip: found.skip }, () => {});
else replicas(found);

const by = 'operator';
const domain = 'spiffe://example.com';

function replicas(server: PostgresServer): void {
  describe('a rotation seen by two processes over one ledger', () => {
    const schema = `rotation_${process.pid}`;
    const yaml = `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
ledger: { postgres: { url: "${server.url}", schema: ${schema} } }
`;
    const config = parseCaConfig(yaml, 'ca.yaml');
    let aheadMs = 0;
    const clock: Clock = {
      ...systemClock,
      now: () => systemClock.now() + aheadMs,
      monotonic: () => systemClock.monotonic() + aheadMs,
    };
    const shared = { clock, log: noLog, meter: noMeter };
    let home = '';
    const open = (data: string) => openAuthority({ config, data: join(home, data), ...shared });
    let [one, two]: [Authority, Authority] = [undefined as never, undefined as never];

    before(async () => {
      home = await mkdtemp(join(tmpdir(), 'countersign-replicas-'));
      await initAuthority({ config, data: join(home, 'one'), configText: yaml, ...shared });
      await cp(join(home, 'one'), join(home, 'two'), { recursive: true });
      [one, two] = [await open('one'), await open('two')];
    });
    after(async () => {
      await one.close();
      await two.close();
      await server.close();
      await rm(home, { recursive: true, force: true });
    });

    const same = () => {
      assert.equal(bundleDigest(two.bundle()), bundleDigest(one.bundle()));
      assert.equal(two.rootFingerprint, one.rootFingerprint);
    };

    it('is taken up by the other, with the key that was made', async () => {
      assert.ok((await one.rotation!.prepare('root', { by })).ok);
      assert.equal(two.bundle().authorities.length, 1);
      await two.rotation!.followOnce();
      same();
      assert.ok((await two.rotation!.activate('root', { by })).ok);
      await one.rotation!.followOnce();
      same();
      for (const each of [one, two]) {
        const csr = await request();
        const { chain } = issuedOf(await each.issue({ csr, spiffeId: 'spiffe://example.com/a' }));
        const [leaf, ...intermediates] = chain.map((der) => parseCertificate(der));
        for (const anchor of each.bundle().authorities) {
          const path = { leaf: leaf!, intermediates, anchors: [anchor], at: Date.now() };
          assert.ok(validatePath(path).ok);
        }
      }
    });

    it('is one step of one process, however many try', async () => {
      refused(await one.rotation!.retire('root', { by }), 'ERR_ROTATION_LIVE');
      const retire = (each: Authority) => each.rotation!.retire('root', { by, force: true });
      // By then a process that has not heard of the new one issues nothing more.
      refused(await retire(one), 'ERR_ROTATION_STEP', /another process may sign by it until/);
      aheadMs += 30_000;
      const both = await Promise.allSettled([retire(one), retire(two)]);
      const failed = both.filter((each) => each.status === 'rejected');
      assert.deepEqual(
        failed.map((each) => each.reason.code),
        ['ERR_LEDGER_DOCUMENT'],
      );
      await one.rotation!.followOnce();
      await two.rotation!.followOnce();
      same();
      assert.equal(one.bundle().authorities.length, 1);
    });

    it('takes up no root that the root before did not sign', async () => {
      const stranger = await testAuthority();
      const body = formatRotationDocument({
        ...one.rotation!.document,
        generations: [
          ...one.rotation!.document.generations,
          ...stranger
            .rotation!.document.generations.filter(({ name }) => name === 'root')
            .map((root) => ({ ...root, number: 3, phase: 'prepared' as const })),
        ],
      });
      const { version } = (await one.ledger.document('hierarchy'))!;
      const said = { by, asked: 'tamper', subject: 'root', detail: '' };
      const change = { name: 'hierarchy', replaces: version, body, said, forgetsHolders: false };
      assert.ok((await one.ledger.changeDocument(change)).ok);
      await assert.rejects(two.rotation!.followOnce(), { code: 'ERR_ROTATION_PROOF' });
      assert.equal(two.bundle().authorities.length, 1);
      const good = formatRotationDocument(two.rotation!.document);
      await one.ledger.changeDocument({ ...change, replaces: version + 1, body: good });
      await two.rotation!.followOnce();
      await stranger.close();
    });

    it('goes on issuing while a step of its own takes long', async () => {
      const rotation = one.rotation!;
      await rotation.followOnce();
      const [begun, going] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const leases = one.ledger.leases;
      one.ledger.leases = async () => {
        begun.resolve();
        await going.promise;
        return leases();
      };
      assert.ok((await rotation.prepare('root', { by })).ok);
      const ending = new AbortController();
      const following = rotation.follow(ending.signal);
      const showing = rotation.show('root');
      await begun.promise;
      aheadMs += 20_000;
      await Promise.race([rotation.followOnce(), systemClock.sleep(5000, { ref: false })]);
      issuedOf(await one.issue({ csr: await request(), spiffeId: `${domain}/a` }));
      going.resolve();
      await showing;
      one.ledger.leases = leases;
      ending.abort();
      await following;
      assert.ok((await rotation.rollBack('root', { by })).ok);
      await two.rotation!.followOnce();
    });

    it('has a process that cannot take up a key issue nothing more, before the one it has is retired', async () => {
      const issue = async () => two.issue({ csr: await request(), spiffeId: `${domain}/a` });
      await one.rotation!.followOnce();
      const rotation = two.rotation!;
      const hierarchy = rotation.hierarchy.bind(rotation);
      rotation.hierarchy = () => Promise.reject(new Error('no such key file'));
      const ending = new AbortController();
      const following = rotation.follow(ending.signal);
      assert.ok((await one.rotation!.prepare('services', { by })).ok);
      assert.ok((await one.rotation!.activate('services', { by })).ok);
      while (rotation.failure?.includes('services.2') !== true) await systemClock.sleep(50);
      assert.match(
        two.unwell() ?? '',
        /by which .*"services.2" sign, is not in force here: no such/,
      );
      issuedOf(await issue());
      refused(await one.rotation!.retire('services', { by, force: true }), 'ERR_ROTATION_STEP');
      aheadMs += 16_000;
      refused(
        await issue(),
        'ERR_ROTATION_BEHIND',
        /under "services": not up to date for .*no such/,
      );
      aheadMs += 10_000;
      assert.ok((await one.rotation!.retire('services', { by, force: true })).ok);
      ending.abort();
      await following;
      await assert.rejects(rotation.followOnce());
      refused(await issue(), 'ERR_ROTATION_BEHIND', /"services": it was retired/);
      rotation.hierarchy = hierarchy;
      await rotation.followOnce();
      assert.match(issuedOf(await issue()).issuer, /services/);
    });

    it('signs nothing by a key that was retired while the order waited for the ledger', async () => {
      const rotation = two.rotation!;
      await rotation.followOnce();
      const { intend } = two.ledger;
      const hold = () => {
        const [begun, going] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        two.ledger.intend = async (draft) => {
          begun.resolve();
          await going.promise;
          return intend(draft);
        };
        return { begun: begun.promise, goOn: going.resolve };
      };
      const ending = new AbortController();
      const following = rotation.follow(ending.signal);
      const order = async () => two.issue({ csr: await request(), spiffeId: `${domain}/a` });

      // Nothing has happened meanwhile.
      const first = hold();
      const ordered = order();
      await first.begun;
      aheadMs += 16_000;
      first.goOn();
      issuedOf(await ordered);

      const second = hold();
      const late = order();
      await second.begun;
      for (const step of ['prepare', 'activate'] as const) {
        assert.ok((await one.rotation![step]('services', { by })).ok);
      }
      aheadMs += 21_000;
      assert.ok((await one.rotation!.retire('services', { by, force: true })).ok);
      second.goOn();
      refused(await late, 'ERR_ROTATION_BEHIND', /"services.2": it was retired/);
      assert.deepEqual(await two.ledger.openIntents(), []);
      two.ledger.intend = intend;
      ending.abort();
      await following;
      await rotation.followOnce();
      issuedOf(await order());
    });

    it('stands after a restart, and in the files for commands without a ledger', async () => {
      const { rootFingerprint } = two;
      await one.close();
      one = await open('one');
      assert.equal(one.rootFingerprint, rootFingerprint);
      const { root } = await readStateCertificates(join(home, 'one'));
      assert.equal(fingerprintOf(root), rootFingerprint);
      const pem = await readFile(join(home, 'one', 'bundle.pem'));
      assert.deepEqual(certificatesFromPem(pem).map(fingerprintOf), [rootFingerprint]);
    });
  });
}
