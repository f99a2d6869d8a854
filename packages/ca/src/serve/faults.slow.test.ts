import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { postgresServer } from '@countersign/testkit';
import { FaultyAuthority, type FaultyOptions } from '../../test/faulty-authority.ts';
import { lossyProxy } from '../../test/lossy-proxy.ts';
import { smallDisk } from '../../test/small-disk.ts';

/*
 * Faults in pairs: of each kind one by which what was under way is lost, and one by which it is there although nobody was
 * told so. What callers see, that nothing acknowledged is lost, and that work goes on.
 */

async function started(t: TestContext, options: FaultyOptions = {}): Promise<FaultyAuthority> {
  const authority = await FaultyAuthority.start(options);
  t.after(() => authority.close());
  await authority.workTimes(6);
  assert.equal(await authority.health(), 'well');
  return authority;
}

/** The ledger refused for good: until a restart nobody is told anything that might not be so. */
async function failsClosed(authority: FaultyAuthority): Promise<void> {
  assert.equal(await authority.workUntilRefused(), 'ERR_LEDGER_FAILED');
  assert.equal(await authority.work(), 'ERR_LEDGER_FAILED');
  assert.notEqual(await authority.health(), 'well');
  assert.match((await authority.findings()).join('\n'), /^ledger: /m);
}

async function goesOn(authority: FaultyAuthority): Promise<void> {
  await authority.restart();
  assert.equal(await authority.health(), 'well');
  await authority.workTimes(6);
  await authority.audit();
}

describe('a disk that is full', () => {
  for (const restarted of [false, true]) {
    const title = restarted
      ? 'refuses a start as well, by name, and is as it was once there is room'
      : 'refuses from the first record that does not fit, and goes on after a restart';
    it(title, async (t) => {
      const disk = smallDisk(16 * 2 ** 20);
      if ('skip' in disk) return t.skip(disk.skip);
      t.after(() => disk.close());
      const authority = await started(t, { under: disk.path });
      disk.fill();
      await failsClosed(authority);
      if (restarted) {
        // What a killed process has left of its log may be room enough for a start: it is taken away first.
        disk.free();
        await authority.kill();
        const ledger = new DatabaseSync(join(authority.data, 'ledger.db'));
        ledger.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        ledger.close();
        disk.fill();
        await assert.rejects(authority.restart(), /the process ended/);
      }
      disk.free();
      await goesOn(authority);
    });
  }
});

describe('a disk that fails', () => {
  for (const { calls, title } of [
    {
      calls: 'fsync fdatasync',
      title: 'at fsync: what was written and not synced is not acknowledged',
    },
    { calls: 'pwrite64', title: 'at write: what was not written is not acknowledged' },
  ]) {
    it(`${title}; a restart finds everything that was`, async (t) => {
      const authority = await started(t);
      const failing = await authority.tell(`fail ${calls}`);
      if (failing !== 'failing') return t.skip(failing);
      await failsClosed(authority);
      await goesOn(authority);
    });
  }
});

describe('a clock that jumps', () => {
  const day = 86_400_000;
  for (const { title, aheadMs, refused } of [
    { title: 'ahead, beyond the end of its own certificates', aheadMs: 400 * day, refused: true },
    { title: 'back, before their beginning', aheadMs: -2 * day, refused: true },
    { title: 'ahead by an hour', aheadMs: day / 24, refused: false },
    { title: 'back by a second', aheadMs: -1000, refused: false },
  ]) {
    it(`${title}: ${refused ? 'refuses, says so, and' : 'works on, and'} loses nothing when it is right again`, async (t) => {
      const authority = await started(t);
      await authority.tell(`clock ${aheadMs}`);
      const answer = await authority.work();
      if (refused) assert.match(answer, /^ERR_/);
      else assert.equal(answer, 'ok');
      const isTold = Math.abs(aheadMs) > 5000;
      const found = (await authority.findings()).join('\n');
      assert.equal(/^clock: the clock jumped (ahead|back) by /m.test(found), isTold, found);
      await authority.tell('clock 0');
      await authority.workTimes(6);
      await goesOn(authority);
    });
  }
});

const server = await postgresServer({ durable: true });

describe('a database', { skip: 'skip' in server ? server.skip : false }, () => {
  if ('skip' in server) return;
  const { control } = server;
  let schemas = 0;
  const database = (port?: number) => {
    const url = new URL(server.url);
    if (port !== undefined) url.port = String(port);
    const schema = `faults_${process.pid}_${schemas++}`;
    return { url: url.href, auditUrl: server.url, schema };
  };

  it('that is killed is away, and work goes on by itself when it is back', async (t) => {
    assert.ok(control);
    const authority = await started(t, { database: database() });
    await control.kill();
    assert.equal(await authority.workUntilRefused(), 'ERR_LEDGER_UNAVAILABLE');
    assert.notEqual(await authority.health(), 'well');
    assert.match((await authority.findings()).join('\n'), /^ledger: reach the ledger's database/m);
    await control.start();
    await backAgain(authority);
    await authority.workTimes(6);
    await goesOn(authority);
  });

  for (const what of ['request', 'answer'] as const) {
    const fate = what === 'request' ? 'is lost' : 'stands and whose answer is lost';
    it(`whose connection breaks over a commit that ${fate} acknowledges nothing wrong`, async (t) => {
      const proxy = await lossyProxy(new URL(server.url));
      t.after(() => proxy.close());
      const authority = await started(t, { database: database(proxy.port) });
      proxy.loseNext(what, 'refuse');
      assert.equal(await authority.workUntilRefused(), 'ERR_LEDGER_UNAVAILABLE');
      assert.equal(proxy.lost, 1);
      assert.notEqual(await authority.health(), 'well');
      proxy.admitAgain();
      await backAgain(authority);
      await authority.workTimes(6);
      await goesOn(authority);
    });
  }

  it('is let go', () => server.close());
});

async function backAgain(authority: FaultyAuthority): Promise<void> {
  for (const deadline = performance.now() + 60_000; ; ) {
    if ((await authority.health()) === 'well' && (await authority.work()) === 'ok') return;
    assert.ok(performance.now() < deadline, 'it does not come back');
  }
}
