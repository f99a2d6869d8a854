import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditSaid } from './audit-trail.ts';
import { RefusalNotes } from './refusal-notes.ts';

function notes() {
  const world = { now: 1_000_000, rows: [] as AuditSaid[] };
  const made = new RefusalNotes({
    write: async (refusals) => void world.rows.push(...refusals),
    now: () => world.now,
    onLost: (thrown) => assert.fail(String(thrown)),
  });
  return { world, made };
}

const refusal = (i: number) => ({ asked: 'enrol', subject: `x${i}`, code: 'ERR_X', detail: 'y' });
const stranger = { by: 'anonymous', from: '192.0.2.1' };

test('strangers who invent kinds for an hour get a few hundred rows, and every refusal is counted', async () => {
  const { world, made } = notes();
  for (let second = 0; second < 3600; second += 1) {
    world.now += 1000;
    for (let i = 0; i < 5; i += 1) made.note(refusal(second * 5 + i), stranger);
    if (second % 60 === 0) await made.flush();
  }
  await made.flush();
  assert.ok(world.rows.length < 700, `${world.rows.length} rows`);
  assert.equal(
    world.rows.reduce((sum, { count = 1 }) => sum + count, 0),
    5 * 3600,
  );
});

test('strangers take no row from those who are known, and quiet hours give theirs back', async () => {
  const { world, made } = notes();
  for (let i = 0; i < 1000; i += 1) made.note(refusal(i), stranger);
  made.note(refusal(0), { by: 'spiffe://example.com/a' });
  await made.flush();
  assert.equal(world.rows.length, 202);
  assert.ok(
    world.rows.some(({ by, subject }) => by === 'spiffe://example.com/a' && subject === 'x0'),
  );
  const together = world.rows.find(({ count }) => count === 800);
  assert.deepEqual([together?.asked, together?.code, together?.by], ['enrol', 'ERR_X', undefined]);

  world.now += 3_600_000;
  made.note(refusal(5000), stranger);
  await made.flush();
  assert.equal(world.rows.at(-1)?.subject, 'x5000');
});
