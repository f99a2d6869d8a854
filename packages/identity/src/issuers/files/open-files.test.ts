import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Log } from '@countersign/base';
import { noLog } from '@countersign/base';
import { type TestCredential, testCa, testClock } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { openFiles } from './open-files.ts';

const id = 'spiffe://example.com/ns/prod/sa/payments';
const hour = 3_600_000;

async function world(t: TestContext) {
  const clock = testClock();
  const ca = testCa({ at: clock.now() });
  const issuing = ca.intermediate();
  const directory = await mkdtemp(join(tmpdir(), 'pem-files-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const file = (name: string) => join(directory, name);
  const files = {
    ...{ keyFile: file('tls.key'), certFile: file('tls.crt'), chainFile: file('above.crt') },
    rootsFile: file('ca.crt'),
  };
  await writeFile(files.rootsFile, ca.rootPem);
  await writeFile(files.chainFile, encodePem('CERTIFICATE', issuing.certificate.raw));
  const svid = (from = 0, until = 24 * hour, name = id) =>
    issuing.svid(name, { notBefore: clock.now() - 2 * hour + from, notAfter: clock.now() + until });
  const putKey = ({ privateKey }: TestCredential) =>
    writeFile(files.keyFile, encodePrivateKey(privateKey), { mode: 0o600 });
  const putCert = ({ certificate }: TestCredential) =>
    writeFile(files.certFile, encodePem('CERTIFICATE', certificate.raw));
  const put = async (credential: TestCredential) => {
    await putKey(credential);
    await putCert(credential);
    return credential.certificate.serialHex;
  };
  const logged: string[] = [];
  const log: Log = { ...noLog, error: ({ reason }) => void logged.push(String(reason)) };
  const open = async (more = {}) => {
    const live = await openFiles({ files, clock, log, ...more });
    t.after(() => live.stop());
    return live;
  };
  return { clock, files, svid, put, putKey, putCert, open, logged };
}

test('files that somebody renews are taken over as a whole, and everybody is told', async (t) => {
  const { svid, put, putKey, putCert, open, logged } = await world(t);
  const first = await put(svid());
  const live = await open({ spiffeId: id });
  let told = 0;
  live.onChange(() => {
    told += 1;
  });
  const next = svid(1000);
  await putKey(next);
  await live.look();
  assert.deepEqual([live.svid().serialHex, told, logged.length], [first, 0, 1]);
  assert.match(
    logged[0] ?? '',
    /^identity of ".*tls\.crt", key ".*tls\.key" and roots ".*ca\.crt": /,
  );
  await putCert(next);
  await live.look();
  assert.deepEqual([live.svid().serialHex, told], [next.certificate.serialHex, 1]);
  await live.look();
  assert.equal(told, 1);
});

test('what is older, has ended, leads elsewhere or is of somebody else is not taken over', async (t) => {
  const { clock, svid, put, open, logged, files } = await world(t);
  const held = await put(svid());
  const live = await open({ spiffeId: id });
  const looked = async () => {
    await live.look();
    assert.equal(live.svid().serialHex, held);
    return logged.at(-1) ?? '';
  };
  await put(svid(-hour));
  assert.match(await looked(), /it is older than the one that is held: from .*, held is from /);
  await put(svid(0, 24 * hour, 'spiffe://example.com/ns/prod/sa/other'));
  assert.match(await looked(), /SPIFFE ID is ".*other", expected ".*payments"/);
  const short = svid(1, 2 * hour);
  await put(svid(1000));
  await writeFile(files.rootsFile, testCa({ name: 'another root' }).rootPem);
  assert.match(await looked(), /payments"?: /);
  await clock.advance(3 * hour);
  await put(short);
  assert.ok((await looked()).length > 0);
});

test('what cannot be used at the start is an error that names the files', async (t) => {
  const { svid, put, open, files, clock } = await world(t);
  const refused = { code: 'ERR_ISSUER_FILES', message: /^identity of ".*tls\.crt"/ };
  await assert.rejects(open(), refused);
  await put(svid());
  await assert.rejects(open({ spiffeId: 'spiffe://example.com/x' }), refused);
  await clock.advance(25 * hour);
  await assert.rejects(open(), refused);
  await writeFile(files.keyFile, 'nothing');
  await assert.rejects(open(), (thrown: Error) => !thrown.message.includes('nothing'));
});

test('a private key that everybody may read is taken and told of once, since others decide who may', async (t) => {
  const { svid, put, files, clock } = await world(t);
  const warned: string[] = [];
  const log: Log = { ...noLog, warn: (_, message) => void warned.push(message) };
  await put(svid());
  await chmod(files.keyFile, 0o644);
  const live = await openFiles({ files, clock, log });
  t.after(() => live.stop());
  await live.look();
  assert.deepEqual(warned, [
    "private key of others' files: everybody may read it, mode 0644, expected 0600",
  ]);
});
