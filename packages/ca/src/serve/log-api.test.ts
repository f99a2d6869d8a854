import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { CountersignError, noLog, noMeter, systemClock } from '@countersign/base';
import {
  LogFollower,
  logOfClient,
  openCheckpoint,
  parseNoteKey,
  verifyLog,
  verifyLogged,
} from '@countersign/wire';
import { formatGeneralName, parseCertificate } from '@countersign/x509';
import { caYaml, exchange, type TestApi, testApi } from '../../test/api-under-test.ts';
import { issuedOf, request } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';

const payments = 'spiffe://example.com/ns/prod/sa/payments';
const config = parseCaConfig(caYaml, 'ca.yaml');
const parts = { config, clock: systemClock, log: noLog };

describe('issuance log', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-log-api-'));
  const data = join(directory, 'state');
  const open = (): Promise<Authority> => openAuthority({ ...parts, data, meter: noMeter });
  let api: TestApi;
  before(async () => {
    await initAuthority({ ...parts, data });
    api = await testApi({ authority: await open() });
  });
  after(async () => {
    await api.close();
    rmSync(directory, { recursive: true });
  });

  it('proves to anybody, soon after, that a certificate is in it', async () => {
    const client = api.client();
    const key = parseNoteKey(await client.logKey());
    assert.match(key.name, /^example\.com\/log\/[0-9a-f]{8}$/);
    const { response } = await api.enrol(payments);
    const started = performance.now();
    const proof = await client.logProof(response.serial);
    assert.ok(performance.now() - started < 20_000);
    const proved = verifyLogged(response.chain[0]!, proof, key);
    assert.ok(proved.ok);
    assert.equal(proof.checkpoint, await client.logCheckpoint());
    for (const serial of ['01ab', '00', 'x', '']) {
      const error = await client.logProof(serial).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof CountersignError && /UNKNOWN|MESSAGE/.test(error.code), serial);
    }
  });

  it('can be followed entry by entry, and none of them is believed before it is proved', async () => {
    const client = api.client();
    const follower = new LogFollower(parseNoteKey(await client.logKey()));
    const names: string[] = [];
    for await (const { entry } of follower.advance(logOfClient(client))) {
      names.push(...parseCertificate(entry).subjectAltNames.map(formatGeneralName));
    }
    assert.ok(names.includes(`uri:${payments}`));
    assert.equal(follower.note, await client.logCheckpoint());
  });

  it('says how long each part of it may be kept, and has one spelling of each path', async () => {
    const checkpoint = await exchange(api, { path: '/v1/log/checkpoint' });
    assert.equal(checkpoint.headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(checkpoint.headers['cache-control'], 'no-cache');
    const size = Number(checkpoint.text.split('\n')[1]);
    const tile = await exchange(api, { path: `/v1/log/tile/0/000.p/${size}` });
    assert.equal(tile.status, 200);
    assert.equal(tile.headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(tile.headers['content-type'], 'application/octet-stream');
    assert.equal(tile.headers['content-length'], String(32 * size));
    for (const path of [
      ...[
        `tile/0/000.p/${size + 1}`,
        'tile/0/000',
        'tile/0/000.p/0',
        'tile/1/000',
        'tile/',
        'tile',
      ],
      ...['tile/0/0', 'tile/0/../../key', 'tile/0/%30%30%30', 'tile/0/001', ''],
    ]) {
      const answer = await exchange(api, { path: `/v1/log/${path}` });
      assert.equal(answer.status, 404, path);
      assert.equal(answer.headers['cache-control'], 'no-store');
    }
    const post = await exchange(api, { path: '/v1/log/tile/0/000', method: 'POST' });
    assert.equal(post.headers.allow, 'GET');
  });

  it('keeps full bundles compressed, and gives them either way', async () => {
    const csr = await request();
    for (let i = 0; i < 260; i += 1) {
      issuedOf(await api.authority.issue({ csr, spiffeId: payments, dns: [], ip: [] }));
    }
    await api.authority.issuanceLog?.flush();
    const path = '/v1/log/tile/entries/000';
    const plain = await exchange(api, { path });
    const packed = await exchange(api, { path, headers: { 'accept-encoding': 'gzip, br' } });
    const refused = await exchange(api, { path, headers: { 'accept-encoding': 'gzip;q=0' } });
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(refused.headers['content-encoding'], undefined);
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(packed.headers.vary, 'accept-encoding');
    assert.ok(
      Number(packed.headers['content-length']) < Number(plain.headers['content-length']) / 2,
    );
  });

  it('is verified whole over the API, and what somebody changed on the disk is named', async () => {
    const client = api.client();
    const key = parseNoteKey(await client.logKey());
    const head = openCheckpoint(await client.logCheckpoint(), key);
    assert.ok(head.ok);
    const source = logOfClient(client);
    assert.deepEqual((await verifyLog(source, head)).findings, []);
    const tamper: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
      'tile/0/000': flipLast,
      'tile/entries/000': (bytes) => gzipSync(flipLast(gunzipSync(bytes))),
    };
    for (const [path, change] of Object.entries(tamper)) {
      const file = join(data, 'log', path);
      const sound = await readFile(file);
      await writeFile(file, change(sound));
      const { findings } = await verifyLog(source, head);
      await writeFile(file, sound);
      assert.equal(findings.length, 1);
      assert.ok(findings[0]!.detail.includes(`"${path}"`), findings[0]!.detail);
    }
  });

  it('goes on after a restart, under a new name where its key is gone, and tells where it is stopped', async () => {
    const note = api.authority.issuanceLog?.note ?? '';
    await api.close();
    const again = await open();
    assert.equal(again.unwell(), undefined);
    const key = again.issuanceLog!.key;
    const head = openCheckpoint(again.issuanceLog!.note ?? '', key);
    assert.ok(head.ok && head.size >= Number(note.split('\n')[1]));
    await again.close();
    // The key alone is gone: the checkpoint that is there is not of the new one.
    await rm(join(data, 'log.key.json'));
    const stopped = await open();
    await stopped.issuanceLog?.flush();
    assert.match(stopped.unwell() ?? '', /is stopped: in its own files/);
    await stopped.close();
    await rm(join(data, 'log'), { recursive: true });
    api = await testApi({ authority: await open() });
    await api.authority.issuanceLog?.flush();
    assert.equal(api.authority.unwell(), undefined);
    assert.notEqual(parseNoteKey(await api.client().logKey()).name, key.name);
  });
});

function flipLast(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  changed[changed.length - 1]! ^= 1;
  return changed;
}
