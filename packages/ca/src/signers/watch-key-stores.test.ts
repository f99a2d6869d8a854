import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  CountersignError,
  denial,
  type Log,
  type Meter,
  noLog,
  noMeter,
  systemClock,
} from '@countersign/base';
import type { KeyDescription } from './key-store.ts';
import { KeyStores } from './key-stores.ts';
import { memoryStore } from './memory-store.ts';
import { watchKeyStores } from './watch-key-stores.ts';

const storage = { type: 'aws-kms', region: 'r' } as const;
const p256 = { type: 'EC', curve: 'P-256' } as const;
const finding = denial('ERR_SIGNER_TOKEN_LOST', 'token "x": it is away');

function fallibleStores() {
  const inner = memoryStore();
  const state = { isAway: false };
  const stores = new KeyStores(async () => ({
    ...inner,
    title: 'token "x"',
    health: async () => (state.isAway ? finding : { ok: true, detail: 'well' }),
    async open(description: KeyDescription) {
      const signer = await inner.open(description);
      const sign = async (data: Uint8Array) => {
        if (state.isAway) throw new CountersignError('ERR_SIGNER_TOKEN_LOST', 'away');
        return signer.sign(data);
      };
      return { spki: signer.spki, algorithm: signer.algorithm, sign };
    },
  }));
  return { stores, state, inner };
}

test('a store that cannot sign is a finding until it can again, told once and measured', async () => {
  const { stores, state } = fallibleStores();
  await stores.of(storage);
  const told: string[] = [];
  const log: Log = {
    ...noLog,
    error: ({ code }, message) => told.push(`${code} ${message}`),
    info: (_, message) => told.push(message),
  };
  const levels: number[] = [];
  const meter: Meter = { ...noMeter, gauge: () => ({ set: (value) => levels.push(value) }) };
  const watch = watchKeyStores({ stores, everyMs: 5, clock: systemClock, log, meter });
  await wait(20);
  assert.equal(watch.finding(), undefined);
  state.isAway = true;
  await until(() => watch.finding() !== undefined);
  assert.deepEqual(watch.finding(), finding);
  state.isAway = false;
  await until(() => watch.finding() === undefined);
  watch.stop();
  assert.deepEqual(told, [
    'ERR_SIGNER_TOKEN_LOST store of keys cannot sign',
    'store of keys is well again',
  ]);
  assert.ok(levels.includes(0) && levels.at(-1) === 1);
});

test('a signature that fails is a finding at once, not at the next question', async () => {
  const { stores, state } = fallibleStores();
  const description = await stores.generate(storage, p256, 'root');
  const signer = await stores.open(storage, description);
  const watch = watchKeyStores({ stores, clock: systemClock, log: noLog, meter: noMeter });
  state.isAway = true;
  await assert.rejects(async () => signer.sign(Uint8Array.of(1)), {
    code: 'ERR_SIGNER_TOKEN_LOST',
  });
  await until(() => watch.finding() !== undefined);
  assert.deepEqual(watch.finding(), finding);
  watch.stop();
});

test('an init that fails takes back what was made, and names what stays behind', async () => {
  const { stores, inner } = fallibleStores();
  const one = await stores.generate(storage, p256, 'root');
  await inner.open(one);
  const told: unknown[] = [];
  await stores.discardMade({ ...noLog, error: (fields) => told.push(fields) });
  await assert.rejects(inner.open(one), { code: 'ERR_SIGNER_KEY' });
  assert.deepEqual(told, []);
});

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isTrue(); i += 1) await wait(5);
  assert.ok(isTrue());
}
