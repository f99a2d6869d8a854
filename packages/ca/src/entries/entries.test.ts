import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type CountersignError, noLog, systemClock } from '@countersign/base';
import type { AgentFrame, BatchOrder, EntryDraft } from '@countersign/wire';
import { newRequest, type TestApi, type TestIdentity, testApi } from '../../test/api-under-test.ts';

import type { Ledger } from '../ledger/ledger.ts';
import { memoryLedger } from '../ledger/memory-ledger.ts';
import { EntryRegistry } from './entry-registry.ts';

const agentId = 'spiffe://example.com/agent/one';
const workload = 'spiffe://example.com/ns/prod/sa/orders';

function draftFor(spiffeId = workload, more: Partial<EntryDraft> = {}): EntryDraft {
  const selectors = ['unix:uid:1000'];
  return { spiffeId, agent: agentId, selectors, hint: '', dns: [], federatesWith: [], ...more };
}

async function orderFor(spiffeId: string, dns: string[] = []): Promise<BatchOrder> {
  const { csr } = await newRequest();
  return { csr, own: false, spiffeId, dns, ip: [] };
}

const codeOf = (code: string) => (thrown: unknown) => (thrown as CountersignError).code === code;

describe('registration entries over the API', () => {
  let api: TestApi;
  let agent: TestIdentity;
  before(async () => {
    api = await testApi();
    agent = await api.enrol(agentId);
  });
  after(() => api.close());

  it('are made and deleted by operators and admins, and by nobody else', async () => {
    const operator = await api.operator();
    const admin = api.client(await api.enrol('spiffe://example.com/ns/ops/sa/admin'));
    const made = await operator.createEntry(draftFor(workload, { hint: 'main', ttlMs: 60_000 }));
    await assert.rejects(operator.createEntry(draftFor()), codeOf('ERR_ENTRY_EXISTS'));
    const second = await admin.createEntry(draftFor(`${workload}-2`, { agent: `${agentId}-b` }));
    await assert.rejects(api.client(agent).createEntry(draftFor()), codeOf('ERR_API_FORBIDDEN'));
    await assert.rejects(api.client().entries(), codeOf('ERR_WIRE_REFUSED'));
    assert.deepEqual(await admin.entries(), [made, second]);
    assert.deepEqual(await api.client(agent).entries(), [made]);
    assert.deepEqual(await admin.deleteEntry(second.id), second);
    await assert.rejects(admin.deleteEntry(second.id), codeOf('ERR_ENTRY_UNKNOWN'));
    await operator.deleteEntry(made.id);
    const rows = await api.authority.ledger.auditAfter(0, 1000);
    const made2 = rows.find(({ said }) => said.includes(second.spiffeId));
    assert.match(made2?.said ?? '', /"by":"spiffe:[^"]*sa\/admin","asked":"create entry"/);
  });

  it('are refused where they name another trust domain, the authority, or no selector', async () => {
    const operator = await api.operator();
    const refused = [
      draftFor('spiffe://other.org/x'),
      draftFor('spiffe://example.com/countersign/ca'),
      draftFor('spiffe://example.com'),
      draftFor(workload, { dns: ['Upper.prod.internal'] }),
      draftFor(workload, { federatesWith: ['no trust domain'] }),
    ];
    for (const draft of refused) {
      await assert.rejects(operator.createEntry(draft), codeOf('ERR_ENTRY_INVALID'));
    }
    for (const selectors of [[], ['uid:1000'], ['unix:uid:']]) {
      const draft = draftFor(workload, { selectors });
      await assert.rejects(operator.createEntry(draft), codeOf('ERR_WIRE_MESSAGE'));
    }
  });

  it('let the agent that they name order their names, and no others', async () => {
    const operator = await api.operator();
    const entry = await operator.createEntry(draftFor(workload, { dns: ['orders.prod.internal'] }));
    const other = api.client(await api.enrol('spiffe://example.com/agent/two'));
    const orders = [
      await orderFor(workload),
      await orderFor(workload, ['orders.prod.internal']),
      await orderFor(workload, ['payments.prod.internal']),
      await orderFor(`${workload}-2`),
      { ...(await orderFor(workload)), commonName: 'orders.prod.internal' },
      { ...(await orderFor(workload)), commonName: 'payments.prod.internal' },
    ];
    const codes = async (client: typeof other) =>
      (await client.issueBatch({ orders })).results.map((each) => (each.ok ? 'ok' : each.code));
    const no = 'ERR_API_FORBIDDEN';
    assert.deepEqual(await codes(api.client(agent)), ['ok', 'ok', no, no, 'ok', no]);
    assert.deepEqual(
      await codes(other),
      orders.map(() => no),
    );
    await operator.deleteEntry(entry.id);
    assert.deepEqual(
      await codes(api.client(agent)),
      orders.map(() => no),
    );
  });

  it('reach the agent that watches, with the bundle, as they are made and deleted', async () => {
    const operator = await api.operator();
    const watch = api.client(agent).watchAgent({ signal: AbortSignal.timeout(30_000) });
    assert.equal((await frameOf(watch, 'bundle')).type, 'bundle');
    assert.deepEqual((await frameOf(watch, 'entries')).entries, []);
    const elsewhere = await operator.createEntry(draftFor(workload, { agent: `${agentId}-b` }));
    const mine = await operator.createEntry(draftFor());
    assert.deepEqual((await frameOf(watch, 'entries')).entries, [mine]);
    await operator.deleteEntry(mine.id);
    assert.deepEqual((await frameOf(watch, 'entries')).entries, []);
    await operator.deleteEntry(elsewhere.id);
    await watch.return();
  });

  it('are watched by one agent in few places at once', async () => {
    const client = api.client(agent);
    const signal = AbortSignal.timeout(30_000);
    const watches = Array.from({ length: 16 }, () => client.watchAgent({ signal }));
    await Promise.all(watches.map((watch) => watch.next()));
    await assert.rejects(client.watchAgent({ signal }).next(), codeOf('ERR_API_FEED_LIMIT'));
    await Promise.all(watches.map((watch) => watch.return()));
  });

  it('are told to no agent whose certificate is revoked: its watch ends, and does not begin again', async () => {
    const evicted = await api.enrol('spiffe://example.com/agent/evicted');
    const watch = api.client(evicted).watchAgent({ signal: AbortSignal.timeout(30_000) });
    await frameOf(watch, 'entries');
    const operator = await api.operator();
    const { serial } = evicted.response;
    const now = { block: false, dryRun: false, waitMs: 0 };
    await operator.revoke({ by: 'serial', value: serial, reason: 'keyCompromise', ...now });
    await assert.rejects(async () => {
      for await (const _ of watch);
    });
    const again = api.client(evicted).watchAgent({ signal: AbortSignal.timeout(30_000) });
    await assert.rejects(again.next(), codeOf('ERR_API_CERTIFICATE_REVOKED'));
  });
});

async function frameOf<T extends AgentFrame['type']>(
  watch: AsyncGenerator<AgentFrame>,
  type: T,
): Promise<Extract<AgentFrame, { type: T }>> {
  for (;;) {
    const { value, done } = await watch.next();
    if (done === true) return assert.fail(`the watch ended, ${type} was expected`);
    if (value.type === type) return value as Extract<AgentFrame, { type: T }>;
  }
}

describe('the copy of the entries in the data directory', () => {
  it('puts them in a ledger that was restored without them', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'countersign-entries-'));
    const file = join(directory, 'entries.json');
    const registryOver = (ledger: Ledger) =>
      new EntryRegistry({
        ...{ ledger, file, trustDomain: 'example.com', isShared: false },
        ...{ clock: systemClock, log: noLog },
      });
    const before = registryOver(memoryLedger({ clock: systemClock }));
    const made = await before.create(draftFor(), 'operator');
    assert.ok(made.ok);
    const restored = memoryLedger({ clock: systemClock });
    assert.deepEqual((await registryOver(restored).inForce()).entries, [made.entry]);
    assert.equal((await restored.document('entries'))?.version, 1);
    rmSync(directory, { recursive: true });
  });
});
