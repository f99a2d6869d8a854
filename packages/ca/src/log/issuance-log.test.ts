import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  formatTilePath,
  leafHash,
  noteKeyOf,
  openCheckpoint,
  parseEntryBundle,
  parseTile,
  verifyLog,
  verifyLogged,
  widthOfTile,
} from '@countersign/wire';
import { generateKeyPair, keySigner } from '@countersign/x509';
import { issuedOf, payments, request, testAuthority } from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { IssuanceLog } from './issuance-log.ts';
import { type LogFiles, logDirectory, logInMemory } from './log-files.ts';

const pair = await generateKeyPair({ type: 'Ed25519' });
const signer = keySigner(pair.privateKey);
const key = { key: noteKeyOf('example.com/log/1', signer.spki), signer };
const csr = await request();

async function issue(authority: Authority, times: number): Promise<string[]> {
  const serials: string[] = [];
  for (let i = 0; i < times; i += 1) {
    serials.push(
      issuedOf(await authority.issue({ csr, spiffeId: payments, dns: [], ip: [] })).serialHex,
    );
  }
  return serials;
}

function open(ledger: Ledger, files: LogFiles, gatherMs = 10): Promise<IssuanceLog> {
  return IssuanceLog.open({
    ...{ ledger, files, key, gatherMs, pollMs: 20 },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
}

async function soundSize(log: IssuanceLog): Promise<number> {
  const head = openCheckpoint(log.note ?? '', key.key);
  assert.ok(head.ok);
  assert.deepEqual(await verifyLog(log.source(), head), { size: head.size, findings: [] });
  return head.size;
}

const authority = await testAuthority();
const { ledger } = authority;
const serials = await issue(authority, 300);
/** The hierarchy's own come first: a root and two intermediates. */
const size = serials.length + 3;

test('every issued certificate is a leaf, in the order of the ledger, and has a proof', async () => {
  const log = await open(ledger, logInMemory());
  assert.equal(log.note, undefined);
  await log.flush();
  assert.equal(await soundSize(log), size);
  for (const [i, serial] of [...serials.entries()].filter(
    ([each]) => each % 37 === 0 || each > 250,
  )) {
    const answer = await log.proofOf(serial);
    assert.ok(answer.ok);
    assert.equal(answer.proof.index, i + 3);
    const { der } = (await ledger.certificate(serial))!;
    assert.ok(verifyLogged(der, answer.proof, key.key).ok);
    const other = der.slice();
    other[100]! ^= 1;
    assert.equal(verifyLogged(other, answer.proof, key.key).ok, false);
  }
  const unknown = await log.proofOf('01ab');
  assert.ok(!unknown.ok && unknown.code === 'ERR_LEDGER_CERTIFICATE_UNKNOWN');
  // Nothing new: nothing is signed.
  const { note } = log;
  await log.flush();
  assert.equal(log.note, note);
});

test('a tile is served in every width up to the size that was signed, and in no other', async () => {
  const log = await open(ledger, logInMemory());
  await log.flush();
  const source = log.source();
  for (const level of ['entries', 0, 1] as const) {
    for (const index of [0, 1]) {
      for (const width of [1, 46, 47, 48, 255, 256]) {
        const name = { level, index, width };
        const bytes = await source.tile(name);
        const isThere = width <= widthOfTile(level, index, size);
        assert.equal(bytes !== undefined, isThere, formatTilePath(name));
        if (bytes === undefined) continue;
        const items = level === 'entries' ? parseEntryBundle(bytes, name) : parseTile(bytes, name);
        assert.equal(items.length, width);
        if (level !== 0) continue;
        const entries = await source.tile({ ...name, level: 'entries' });
        assert.deepEqual(parseEntryBundle(entries!, name).map(leafHash), items);
      }
    }
  }
});

test('a proof is had soon after the issue, from a log that follows by itself', async () => {
  const grown = await testAuthority();
  const log = await open(grown.ledger, logInMemory(), 200);
  log.start();
  const [serial] = await issue(grown, 1);
  const started = performance.now();
  log.wake();
  const answer = await log.proofOf(serial!);
  assert.ok(answer.ok);
  assert.ok(performance.now() - started < 20_000, `took ${performance.now() - started} ms`);
  // Another process over the same ledger wakes nobody here.
  const [other] = await issue(grown, 1);
  assert.ok((await log.proofOf(other!, 1000)).ok);
  await issue(grown, 1);
  await log.close();
  assert.equal(await soundSize(log), 6);
});

test('in a directory: what is there is sound after every batch, old partial tiles are gone, and it goes on from there', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-log-'));
  try {
    const grown = await testAuthority();
    let last = 0;
    for (const times of [1, 5, 246, 1, 1, 3]) {
      await issue(grown, times);
      const log = await open(grown.ledger, logDirectory(directory));
      await log.flush();
      const now = await soundSize(log);
      assert.equal(now, last === 0 ? times + 3 : last + times);
      last = now;
      await log.close();
      const partials = readdirSync(join(directory, 'tile/0')).filter((name) => /\.p$/.test(name));
      assert.equal(partials.length, now % 256 === 0 ? 0 : 1);
      for (const name of partials) {
        assert.deepEqual(readdirSync(join(directory, 'tile/0', name)), [String(now % 256)]);
      }
    }
    assert.deepEqual(readdirSync(directory).toSorted(), ['checkpoint', 'key', 'tile']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** Fails at the `nth` change from now on: lost, or done and not told. */
function failing(files: LogFiles, nth: number, isLost: boolean): LogFiles {
  let left = nth;
  const change = async (act: () => Promise<void>) => {
    left -= 1;
    if (left > 0) return act();
    if (left === 0 && !isLost) await act();
    throw new Error('power cut');
  };
  return {
    read: files.read,
    write: (path, content) => change(() => files.write(path, content)),
    remove: (path) => change(() => files.remove(path)),
  };
}

test('cut off at every single change of its files, lost or done, it comes back to the same log', async () => {
  const grown = await testAuthority();
  await issue(grown, 250);
  const before = logInMemory();
  await (await open(grown.ledger, before)).flush();
  await issue(grown, 10);
  const whole = await open(grown.ledger, logInMemory());
  await whole.flush();
  let cuts = 0;
  for (let nth = 1; ; nth += 1) {
    for (const isLost of [true, false]) {
      const files = logInMemory();
      for (const [path, bytes] of before.contents) files.contents.set(path, bytes);
      const log = await open(grown.ledger, failing(files, nth, isLost));
      const isCut = await log.flush().then(
        () => false,
        () => true,
      );
      cuts += isCut ? 1 : 0;
      const again = await open(grown.ledger, files);
      // Sound before anything is mended.
      assert.ok([253, 263].includes(await soundSize(again)));
      await again.flush();
      assert.equal(await soundSize(again), 263);
      assert.equal(again.note, whole.note);
      // The one that was cut goes on as well, once it can write again.
      if (nth === 3) await assert.rejects(log.flush(), /power cut/);
      if (!isCut) {
        assert.ok(cuts >= 12, `only ${cuts} places to fail at`);
        return;
      }
    }
  }
});

test('damage to the files that it goes on from is mended from the ledger, if that leads to what was signed', async () => {
  const files = logInMemory();
  const first = await open(ledger, files);
  await first.flush();
  const sound = new Map(files.contents);
  for (const path of sound.keys()) {
    if (path === 'checkpoint' || path === 'key') continue;
    for (const damage of ['gone', 'changed'] as const) {
      files.contents.clear();
      for (const [each, bytes] of sound) files.contents.set(each, bytes);
      const changed = sound.get(path)!.slice();
      changed[changed.length - 1]! ^= 1;
      if (damage === 'gone') files.contents.delete(path);
      else files.contents.set(path, changed);
      const log = await open(ledger, files);
      await log.flush();
      assert.equal(log.unwell, undefined);
      // The first tiles are not read at start-up: `log verify` names them.
      if (/^tile\/(?:0|entries)\/000$/.test(path)) continue;
      assert.equal(log.note, first.note, `${path} ${damage}`);
      await soundSize(log);
    }
  }
});

test('a ledger of another history stops the log: nothing is signed, and nothing is written over', async () => {
  const files = logInMemory();
  const first = await open(ledger, files);
  await first.flush();
  const sound = new Map(files.contents);
  const [shorter, other] = [await testAuthority(), await testAuthority()];
  await issue(other, 301);
  for (const wrong of [shorter, other]) {
    const log = await open(wrong.ledger, files);
    await log.flush();
    assert.match(log.unwell ?? '', /is stopped: the ledger contradicts its checkpoint/);
    const [serial] = await issue(wrong, 1);
    const answer = await log.proofOf(serial!);
    assert.ok(!answer.ok && answer.code === 'ERR_LOG_STOPPED');
    await log.close();
    assert.deepEqual(new Map(files.contents), sound);
  }
  // A checkpoint that is not its own is no reason to begin again either.
  files.contents.set('checkpoint', new TextEncoder().encode('nothing\n'));
  const log = await open(ledger, files);
  await log.flush();
  assert.match(log.unwell ?? '', /is stopped: in its own files/);
});
