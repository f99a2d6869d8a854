import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { toHex } from '@countersign/base';
import { serialForPosition } from '@countersign/spiffe';
import { contradictions } from './checks/contradictions.ts';
import type { IntentRecord } from './ledger.ts';
import { openLedgerDatabase } from './sqlite-schema.ts';
import { SqliteStore } from './sqlite-store.ts';

const at = 1_000_000;
const idOf = (n: number) => `spiffe://example.com/sa/${n % 700}`;
const keyOf = (n: number) => hash('sha256', `key ${n}`);

describe('intents by name and by key in a SQLite ledger', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-index-'));
  const file = join(directory, 'ledger.db');
  let database = openLedgerDatabase(file, { create: true });
  let store = new SqliteStore(database);
  after(() => {
    database.close();
    rmSync(directory, { recursive: true });
  });

  function add(n: number): number {
    const position = store.nextPosition();
    const serialHex = toHex(serialForPosition(position, new Uint8Array(12)));
    const intent: IntentRecord = {
      ...{ kind: 'intent', position, at, serialHex, spiffeId: idOf(n), names: [] },
      ...{ spkiHash: keyOf(n), provisioner: 'operator', grant: 'operator', grantedBy: undefined },
      ...{ issuer: 'services', notAfter: at + 1000, profile: undefined, proofKey: undefined },
    };
    store.addIntent(intent);
    return position;
  }

  function addMany(from: number, to: number): void {
    store.begin();
    for (let n = from; n < to; n += 1) add(n);
    store.commit();
  }

  const indexed = () => Number(database.prepare('SELECT up_to FROM intent_index').get()?.up_to);
  const everywhere = { above: 0, below: Number.MAX_SAFE_INTEGER };
  const ofName = (n: number) =>
    store
      .coveredIntents({ by: 'spiffe-id', value: idOf(n), ...everywhere }, 1000)
      .map(({ position }) => position);
  const ofKey = (n: number) =>
    store
      .coveredIntents({ by: 'key', value: keyOf(n), ...everywhere }, 1000)
      .map(({ position }) => position);
  const findings = () =>
    [0, 1000, 2000, 3000, 4000, 5000].flatMap(
      (above) =>
        contradictions({ store, at, random: () => new Uint8Array() }, above, 1000).findings,
    );

  it('are found while they are in no index', () => {
    addMany(0, 1500);
    assert.equal(indexed(), 0);
    assert.deepEqual(ofName(3), [4, 704, 1404]);
    assert.deepEqual(ofKey(1499), [1500]);
  });

  it('are found once they are, and beside those that came since', () => {
    addMany(1500, 4100);
    assert.equal(indexed(), 4100);
    addMany(4100, 4300);
    assert.equal(indexed(), 4100);
    assert.deepEqual(ofName(3), [4, 704, 1404, 2104, 2804, 3504, 4204]);
    assert.deepEqual([ofKey(7), ofKey(4250), ofKey(4300)], [[8], [4251], []]);
    assert.equal(store.countCovered('spiffe-id', idOf(3), at, 4, 4204), 6);
    assert.equal(store.countCovered('key', keyOf(4299), at, 0, 5000), 1);
    assert.deepEqual(findings(), []);
  });

  it('are forgotten with a batch that is undone', () => {
    assert.deepEqual(ofKey(4300), []);
    store.begin();
    add(4300);
    assert.deepEqual(ofKey(4300), [4301]);
    store.rollBack();
    assert.deepEqual(ofKey(4300), []);
  });

  it('are found after the ledger was closed and opened', () => {
    database.close();
    database = openLedgerDatabase(file, { create: false });
    store = new SqliteStore(database);
    assert.deepEqual(ofName(3), [4, 704, 1404, 2104, 2804, 3504, 4204]);
    assert.deepEqual(ofKey(4250), [4251]);
  });

  it('leave their indexes with what is archived', () => {
    store.begin();
    store.addAbandoned({
      kind: 'abandoned',
      position: store.nextPosition(),
      at,
      intent: 4,
      reason: '',
    });
    const intents = [{ position: 4, revocation: undefined }];
    store.archive.move({ intents, tokens: [], revocations: [] });
    store.commit();
    assert.equal(ofName(3).includes(4), false);
    const left = database.prepare('SELECT count(*) AS n FROM intents_by_key').get();
    assert.equal(left?.n, 4099);
  });

  it('are missed where somebody takes one out of an index, or says that more are in it', () => {
    database.exec(`SAVEPOINT sound; DELETE FROM intents_by_key WHERE position = 77`);
    assert.match(findings().join(), /ledger record 77 .*: missing among intents by key/);
    database.exec(`ROLLBACK TO sound; DELETE FROM intents_by_name WHERE position = 78`);
    assert.match(findings().join(), /ledger record 78 .*: missing among intents by name/);
    database.exec(`ROLLBACK TO sound; UPDATE intent_index SET up_to = 1000000`);
    assert.match(findings().join(), /it is 1000000, the newest position is 4301/);
    database.exec('ROLLBACK TO sound; RELEASE sound');
  });
});
