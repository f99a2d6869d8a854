import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
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

function replicas(server: PostgresServer): void {
  describe('a rotation seen by two processes over one ledger', () => {
    const schema = `rotation_${process.pid}`;
    const yaml = `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
ledger: { postgres: { url: "${server.url}", schema: ${schema} } }
`;
    const config = parseCaConfig(yaml, 'ca.yaml');
    const shared = { clock: systemClock, log: noLog, meter: noMeter };
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
