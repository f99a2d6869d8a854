import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { postgresServer, startTestDns } from '@countersign/testkit';
import { certificatesFromPem, formatGeneralName } from '@countersign/x509';
import { OrderingClients, type OrderOutcome } from '../../test/acme-orders.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { auditLedger } from '../ledger/audit-ledger.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { verifyAudit } from '../ledger/verify-audit.ts';
import { readStateManifest, stateLayout } from '../state-layout.ts';

const postgres = await postgresServer({ given: process.env.DATABASE_URL });
/** `COUNTERSIGN_ORDERS=5000 node --test packages/ca/src/serve/acme-orders.slow.test.ts` */
const orders = Number(process.env.COUNTERSIGN_ORDERS ?? 1000);
const ordersEach = 50;
const name = `${orders} ACME orders at once end, each with a certificate or a reason, though one of three processes is killed`;

if ('skip' in postgres) it(name, { skip: postgres.skip }, () => {});
else {
  const { url } = postgres;
  it(name, { timeout: 900_000 }, async (t) => {
    const home = mkdtempSync(join(tmpdir(), 'countersign-orders-'));
    t.after(async () => {
      await postgres.close();
      rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    });
    const dns = await startTestDns();
    t.after(() => dns.close());
    const pages = new Map<string, string>();
    const website = createServer((asked, answer) => answer.end(pages.get(asked.url ?? '')));
    await new Promise<void>((resolve) => website.listen(0, '127.0.0.1', resolve));
    t.after(() => website.close());

    // 1. Three processes over one PostgreSQL.
    const yaml = `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates:
  san_policies: { require_spiffe: false, spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.test"] }
acme:
  challenges: [http-01]
  limits: { accounts_per_hour: 0, orders_per_hour: 0 }
  validation:
    http_port: ${(website.address() as AddressInfo).port}
    resolvers: ["${dns.address}"]
    allow: [127.0.0.0/8]
ledger: { postgres: { url: "${url}", schema: orders_${process.pid} } }
`;
    const config = parseCaConfig(yaml, 'ca.yaml');
    const shared = { clock: systemClock, log: noLog, meter: noMeter };
    const data = ['one', 'two', 'three'].map((each) => join(home, each));
    const [first = '', ...others] = data;
    await initAuthority({ config, data: first, configText: yaml, ...shared });
    for (const each of others) cpSync(first, each, { recursive: true });
    writeFileSync(join(home, 'ca.yaml'), yaml);
    const servers = await Promise.all(data.map((each) => start(join(home, 'ca.yaml'), each)));
    t.after(() => {
      for (const { child } of servers) child.kill('SIGKILL');
    });

    // 2. All orders at once; when a third of them has ended, a process is killed.
    const clients = new OrderingClients(
      servers.map(({ port }) => port),
      pages,
    );
    t.after(() => clients.close());
    const accounts = await Promise.all(
      Array.from({ length: Math.ceil(orders / ordersEach) }, () => clients.account()),
    );
    const startedAt = Date.now();
    const asked = Array.from({ length: orders }, (_, i) => {
      const account = accounts[i % accounts.length] ?? assert.fail();
      return clients.order(account, `n${i}.orders.test`);
    });
    const all = Promise.all(asked);
    await Promise.race([
      all,
      (async () => {
        while (clients.progress.ended < orders / 3) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })(),
    ]);
    const endedBefore = clients.progress.ended;
    const [victim] = servers;
    clients.ports.splice(clients.ports.indexOf(victim?.port ?? 0), 1);
    victim?.child.kill('SIGKILL');
    const outcomes = await all;
    const seconds = (Date.now() - startedAt) / 1000;

    // 3. Each ended, with a certificate for its name or with a problem.
    const valid = outcomes.flatMap((each) => (each.end === 'valid' ? [each] : []));
    const problems = outcomes.flatMap((each) => (each.end === 'problem' ? [each.problem] : []));
    t.diagnostic(
      JSON.stringify({
        ...{ valid: valid.length, problems: problems.length, endedBefore, seconds },
        broken: clients.progress.broken,
        nonces: clients.nonces.length,
      }),
    );
    assert.ok(endedBefore < orders, 'all had ended before a process was killed');
    assert.ok(clients.progress.broken > 0, 'nobody noticed the kill');
    assert.ok(valid.length >= orders * 0.9, problems.slice(0, 5).join('\n'));
    namesAreRight(outcomes);

    // 4. No order, serial or nonce twice; a nonce that was used is good nowhere, and at two places at once only at one.
    const serials = valid.map(({ pem }) => certificatesFromPem(pem)[0]?.serialHex ?? '');
    assert.equal(new Set(serials).size, valid.length);
    const named = outcomes.flatMap(({ order }) => order ?? []);
    assert.equal(new Set(named).size, named.length);
    assert.equal(new Set(clients.nonces).size, clients.nonces.length);
    await noncesAreSpent(clients, accounts[0] ?? assert.fail());

    // 5. What the ledger says: each certificate is there, nothing without its intent, nothing signed twice for an order.
    for (const { child } of servers.slice(1)) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    const { ledger: state } = await readStateManifest(first);
    const file = stateLayout(first).ledger;
    const place = { config: config.ledger, state, file, secrets: { env: {} } };
    const ledger = await openLedger({ ...place, clock: systemClock, log: noLog });
    t.after(() => ledger.close());
    const { findings } = await auditLedger(ledger);
    assert.deepEqual(findings, []);
    assert.deepEqual((await verifyAudit(ledger)).findings, []);
    const granted = new Map<string, number>();
    for (let after = 0; ; ) {
      const records = await ledger.recordsAfter(after, 10_000);
      if (records.length === 0) break;
      after = records.at(-1)?.position ?? after;
      for (const record of records) {
        if (record.kind !== 'issued') continue;
        const { grantedBy = '' } = (await ledger.certificate(record.serialHex)) ?? {};
        if (!grantedBy.startsWith('acme order ')) continue;
        granted.set(grantedBy, (granted.get(grantedBy) ?? 0) + 1);
      }
    }
    assert.deepEqual(
      [...granted].filter(([, times]) => times > 1),
      [],
    );
    assert.ok(granted.size >= valid.length);
  });
}

function namesAreRight(outcomes: readonly OrderOutcome[]): void {
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.end !== 'valid') continue;
    const [leaf] = certificatesFromPem(outcome.pem);
    const names = leaf?.subjectAltNames.map(formatGeneralName);
    assert.deepEqual(names, [`dns:n${i}.orders.test`]);
  }
}

async function noncesAreSpent(
  clients: OrderingClients,
  account: Awaited<ReturnType<OrderingClients['account']>>,
): Promise<void> {
  const [one = 0, two = 0] = clients.ports;
  const ask = async (port: number, nonce: string) => {
    const body = account.sign(`https://127.0.0.1:${port}`, account.path, nonce, undefined);
    const { text, status } = await clients.send(port, 'POST', account.path, JSON.stringify(body));
    if (status !== 200) assert.match(text, /badNonce/);
    return status;
  };
  for (let i = 0; i < 50; i += 1) {
    const nonce = await clients.nonce(one);
    const both = await Promise.all([ask(one, nonce), ask(two, nonce)]);
    assert.equal(both.filter((status) => status === 200).length, 1, String(both));
    assert.equal(await ask(two, nonce), 400);
  }
}

async function start(config: string, data: string): Promise<{ child: ChildProcess; port: number }> {
  const program = fileURLToPath(new URL('../../test/serve-process.ts', import.meta.url));
  const child = spawn(process.execPath, [program, config, data], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(child.stdout ?? assert.fail(), 'data', {
    signal: AbortSignal.timeout(60_000),
  });
  return { child, port: Number(String(said).split(' ')[1]) };
}
