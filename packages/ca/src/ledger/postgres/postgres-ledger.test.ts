import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { CountersignError, noLog, Secret, systemClock } from '@countersign/base';
import { type PostgresServer, postgresServer } from '@countersign/testkit';
import { Client } from 'pg';
import { lossyProxy } from '../../../test/lossy-proxy.ts';
import { auditLedger } from '../audit-ledger.ts';
import { auditTrailSuite, tamperings, threeCertificates } from '../audit-trail.suite.ts';
import { edgeSuite } from '../edge/edge.suite.ts';
import { leaseSuite } from '../lease.suite.ts';
import { type LedgerUnderTest, ledgerSuite } from '../ledger.suite.ts';
import type { Intent, IntentDraft, Ledger, RevocationOrder } from '../ledger.ts';
import { orderSuite } from '../order.suite.ts';
import { archiveSuite } from '../retention/archive.suite.ts';
import { revocationKindsSuite } from '../revocation-kinds.suite.ts';
import { rotationSuite } from '../rotation.suite.ts';
import { verifyAudit } from '../verify-audit.ts';
import { openPostgresLedger, type PostgresLedgerOptions } from './postgres-ledger.ts';

const found = await postgresServer({ given: process.env.DATABASE_URL });

if ('skip' in found) it('postgres ledger', { skip: found.skip }, () => {});
else suites(found);

const draft: IntentDraft = {
  grant: { kind: 'operator' },
  spiffeId: 'spiffe://example.com/ns/prod/sa/orders',
  names: [],
  spkiHash: '00'.repeat(32),
  provisioner: 'operator',
  issuer: 'services',
  notAfter: 2 ** 42,
};
const order: RevocationOrder = {
  by: 'spiffe-id',
  value: 'spiffe://example.com/ns/prod/sa/orders',
  reason: 'superseded',
  orderedBy: 'operator',
};

function suites(server: PostgresServer): void {
  let schemas = 0;
  const freshSchema = () => `test_${process.pid}_${schemas++}`;
  const used: string[] = [];
  const open = (options: Partial<PostgresLedgerOptions> = {}): Promise<Ledger> => {
    const { schema = freshSchema() } = options;
    used.push(schema);
    const url = () => new Secret(server.url);
    return openPostgresLedger({
      url,
      create: true,
      clock: systemClock,
      log: noLog,
      ...options,
      schema,
    });
  };
  const query = async (text: string) => {
    const client = new Client({ connectionString: server.url });
    await client.connect();
    const { rows } = await client.query(text).finally(() => client.end());
    return rows;
  };
  after(async () => {
    if (server.control === undefined) {
      for (const schema of new Set(used)) await query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    }
    await server.close();
  });

  const subject: LedgerUnderTest = { open: (clock) => open({ clock }) };
  ledgerSuite('postgres ledger', subject);
  leaseSuite('postgres ledger', subject);
  auditTrailSuite('postgres ledger', subject);
  revocationKindsSuite('postgres ledger', subject);
  orderSuite('postgres ledger', subject);
  rotationSuite('postgres ledger', subject);
  edgeSuite('postgres ledger', subject);
  archiveSuite('postgres ledger', subject);

  describe('postgres ledger of several processes', () => {
    it('gives each position and serial once, and shows each process what the others wrote', async () => {
      const schema = freshSchema();
      const ledgers = await Promise.all([open({ schema }), open({ schema }), open({ schema })]);
      const issued = await Promise.all(
        ledgers.flatMap((ledger) => Array.from({ length: 20 }, () => issue(ledger))),
      );
      assert.equal(new Set(issued.map((one) => one.serialHex)).size, 60);
      for (const ledger of ledgers) {
        const { findings, issued: count } = await auditLedger(ledger, {
          serials: issued.map((one) => one.serialHex),
        });
        assert.deepEqual(findings, []);
        assert.equal(count, 60);
      }
      for (const ledger of ledgers) await ledger.close();
    });

    it('redeems a token once, whichever process is asked', async () => {
      const schema = freshSchema();
      const ledgers = await Promise.all([open({ schema }), open({ schema })]);
      const token = { id: '0000000000000001', secretHash: 'ab'.repeat(32) };
      await ledgers[0]?.createToken({
        ...token,
        names: [],
        provisioner: 'token',
        expiresAt: 2 ** 42,
      });
      const grant = { kind: 'token', ...token } as const;
      const answers = await Promise.all(
        [...ledgers, ...ledgers].map((ledger) => ledger.intend({ ...draft, grant })),
      );
      const refused = answers.filter((answer) => !answer.ok);
      assert.equal(refused.length, 3);
      assert.ok(refused.every((answer) => !answer.ok && answer.code === 'ERR_TOKEN_SPENT'));
      for (const ledger of ledgers) await ledger.close();
    });

    it('hears of what another process revoked', async (t) => {
      const schema = freshSchema();
      const [here, there] = [await open({ schema }), await open({ schema })];
      const { serialHex } = await issue(here);
      const heard = new Promise<number>((resolve) => there.onCommit(resolve));
      const started = performance.now();
      const revoked = await here.revoke(order);
      assert.equal(await heard, revoked.ok && revoked.record.position);
      t.diagnostic(`after ${(performance.now() - started).toFixed(0)} ms`);
      assert.equal((await there.certificateStatus(serialHex)).status, 'revoked');
      await here.close();
      await there.close();
    });

    it('leaves the intents of a living process alone, and closes those of one that is gone', async () => {
      const schema = freshSchema();
      const [gone, other] = [await open({ schema }), await open({ schema })];
      const intent = granted(await gone.intend(draft));
      assert.deepEqual(await other.orphans(), []);
      await query(`UPDATE ${schema}.writers SET seen_at = clock_timestamp() - interval '1 minute'`);
      // The other process closes orphans by itself, now and then: it may have been quicker.
      for (const { position } of await other.orphans()) {
        assert.equal(position, intent.position);
        await other.abandoned(position, 'whoever ordered it is gone').catch((thrown) => {
          assert.equal(thrown.code, 'ERR_LEDGER_STATE');
        });
      }
      assert.deepEqual(await other.openIntents(), []);
      const late = { intent: intent.position, serialHex: intent.serialHex, der: new Uint8Array(1) };
      await assert.rejects(gone.issued(late), { code: 'ERR_LEDGER_STATE' });
      await gone.close();
      await other.close();
    });

    it('makes its tables once, however many processes begin at the same time', async () => {
      const schema = freshSchema();
      const ledgers = await Promise.all(Array.from({ length: 6 }, () => open({ schema })));
      await Promise.all(ledgers.map(issue));
      for (const ledger of ledgers) {
        assert.equal((await ledger.status()).issued, 6);
        await ledger.close();
      }
    });
  });

  describe('postgres ledger whose connection breaks at COMMIT', () => {
    for (const what of ['answer', 'request'] as const) {
      it(`writes once what it was asked for once, when the ${what} is lost`, async () => {
        const proxy = await lossyProxy(new URL(server.url));
        const url = through(proxy.port);
        const ledger = await open({ url });
        const first = await issue(ledger);
        proxy.loseNext(what);
        const answers = await Promise.all([
          ledger.intend(draft),
          ledger.revoke({ ...order, value: `${order.value}-of-others` }),
          ledger.intend(draft),
        ]);
        assert.equal(proxy.lost, 1);
        assert.ok(answers.every((answer) => answer.ok));
        const [one, revoked, two] = answers;
        const positions = [granted(one).position, granted(two).position];
        assert.deepEqual(positions, [first.position + 2, first.position + 4]);
        assert.equal(revoked.ok && revoked.record.position, first.position + 3);
        const { findings, records } = await auditLedger(ledger);
        assert.deepEqual(findings, []);
        assert.equal(records, 5);
        await ledger.close();
        await proxy.close();
      });
    }

    it('abandons the intent of a caller who was told that it failed, once it knows that it stands', async () => {
      const proxy = await lossyProxy(new URL(server.url));
      const ledger = await open({ url: through(proxy.port), timeoutMs: 400 });
      proxy.loseNext('answer', 'refuse');
      const asked = ledger.intend(draft);
      await assert.rejects(asked, { code: 'ERR_LEDGER_UNAVAILABLE' });
      assert.equal(proxy.lost, 1);
      proxy.admitAgain();
      await until(async () => (await ledger.status().catch(() => undefined))?.abandoned === 1);
      assert.deepEqual((await auditLedger(ledger)).findings, []);
      await ledger.close();
      await proxy.close();
    });

    it('does not repeat what a caller was told had failed', async () => {
      const proxy = await lossyProxy(new URL(server.url));
      const ledger = await open({ url: through(proxy.port), timeoutMs: 400 });
      proxy.loseNext('request', 'refuse');
      const asked = ledger.revoke(order);
      await assert.rejects(asked, { code: 'ERR_LEDGER_UNAVAILABLE' });
      assert.equal(proxy.lost, 1);
      proxy.admitAgain();
      await until(async () => (await ledger.intend(draft).catch(() => undefined)) !== undefined);
      assert.equal((await ledger.status()).revocations, 0);
      await ledger.close();
      await proxy.close();
    });
  });

  describe('postgres ledger and its database', () => {
    const { control } = server;
    const skip = control === undefined ? 'the database that is given is not ours to stop' : false;

    it('says that the database is away, within its time, and goes on by itself when it is back', {
      skip,
    }, async () => {
      const ledger = await open({ timeoutMs: 300 });
      await issue(ledger);
      await control?.kill();
      const started = performance.now();
      const asked = [ledger.intend(draft), ledger.status(), ledger.revoke(order)];
      for (const one of asked) await assert.rejects(one, { code: 'ERR_LEDGER_UNAVAILABLE' });
      assert.ok(performance.now() - started < 20_000);
      assert.equal(ledger.failure?.code, 'ERR_LEDGER_UNAVAILABLE');
      await control?.start();
      await until(async () => ledger.failure === undefined);
      await until(async () => (await ledger.intend(draft).catch(() => undefined)) !== undefined);
      await ledger.close();
    });

    it('keeps callers waiting for a database that comes back in time, and loses nothing', {
      skip,
    }, async () => {
      const ledger = await open({ timeoutMs: 20_000 });
      const serials: string[] = [];
      let done = false;
      const clients = Array.from({ length: 4 }, async () => {
        while (!done) serials.push((await issue(ledger)).serialHex);
      });
      for (let kill = 0; kill < 2; kill += 1) {
        await wait(50);
        await control?.kill();
        await control?.start();
      }
      await wait(50);
      done = true;
      await Promise.all(clients);
      const { findings, openIntents } = await auditLedger(ledger, { serials });
      assert.deepEqual(findings, []);
      assert.equal(openIntents, 0);
      await ledger.close();
    });

    it('refuses everything once the database went back behind what was acknowledged', async () => {
      const schema = freshSchema();
      const ledger = await open({ schema });
      await issue(ledger);
      await query(`UPDATE ${schema}.head SET position = 1`);
      await until(async () => ledger.failure !== undefined);
      await assert.rejects(ledger.intend(draft), {
        code: 'ERR_LEDGER_FAILED',
        message: /went back from position 2 to 1/,
      });
      await ledger.close();
    });

    it('refuses everything once another ledger stands in its place', async () => {
      const schema = freshSchema();
      const ledger = await open({ schema });
      await query(`UPDATE ${schema}.head SET ledger = 'another', position = 1000`);
      await until(async () => ledger.failure !== undefined);
      await assert.rejects(ledger.status(), { code: 'ERR_LEDGER_FAILED', message: /"another"/ });
      await ledger.close();
    });

    it('shows by name what was done to its rows', async () => {
      for (const { sql, finds } of tamperings) {
        const schema = freshSchema();
        const ledger = await open({ schema });
        await threeCertificates(ledger);
        await query(`SET search_path = ${schema}; ${sql}`);
        const { findings } = await verifyAudit(ledger);
        assert.match(findings.join('\n'), finds, sql);
        await ledger.close();
      }
    });

    it('is refused when a newer version wrote it', async () => {
      const schema = freshSchema();
      await (await open({ schema })).close();
      await query(`UPDATE ${schema}.version SET version = 99`);
      await assert.rejects(open({ schema }), {
        code: 'ERR_LEDGER_VERSION',
        message: /version 99, this program knows up to \d/,
      });
    });

    it('names the place that it cannot reach, and never the password', async () => {
      const closed = await unusedPort();
      const url = () => new Secret(`postgres://ca:hunter2@127.0.0.1:${closed}/ledger`);
      const thrown = await open({ url, timeoutMs: 100 }).catch((failed: unknown) => failed);
      assert.ok(thrown instanceof CountersignError);
      assert.equal(thrown.code, 'ERR_LEDGER_UNAVAILABLE');
      assert.match(
        thrown.message,
        new RegExp(`"127.0.0.1:${closed}/ledger": connect ECONNREFUSED`),
      );
      assert.ok(!JSON.stringify([thrown.message, thrown.fields]).includes('hunter2'));
    });

    it('does not repeat an address that it cannot read', async () => {
      const url = () => new Secret('mysql://ca:hunter2@db/ledger');
      const thrown = await open({ url }).catch((failed: unknown) => failed);
      assert.ok(thrown instanceof CountersignError);
      assert.equal(thrown.code, 'ERR_LEDGER_URL');
      assert.ok(!thrown.message.includes('hunter2'));
    });
  });

  function through(port: number): () => Secret<string> {
    const url = new URL(server.url);
    url.hostname = '127.0.0.1';
    url.port = String(port);
    return () => new Secret(url.href);
  }
}

async function issue(ledger: Ledger): Promise<Intent> {
  const intent = granted(await ledger.intend(draft));
  const { position, serialHex } = intent;
  await ledger.issued({ intent: position, serialHex, der: new Uint8Array([position & 0xff]) });
  return intent;
}

function granted(answer: Awaited<ReturnType<Ledger['intend']>>): Intent {
  if (!answer.ok) assert.fail(`refused: ${answer.code} ${answer.detail}`);
  return answer;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await holds())) {
    if (performance.now() > deadline) assert.fail('it does not come true');
    await wait(10);
  }
}

async function unusedPort(): Promise<number> {
  const { createServer } = await import('node:net');
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}
