import assert from 'node:assert/strict';
import { it } from 'node:test';
import { crashAndAudit } from '../../test/crash-and-audit.ts';

/** A thousand take half an hour: `COUNTERSIGN_KILLS=1000 node --test packages/ca/src/serve/crash.slow.test.ts`. */
const kills = Number(process.env.COUNTERSIGN_KILLS ?? 100);

it(`survives ${kills} kills while four clients enrol, and loses nothing that it acknowledged`, async (t) => {
  const figures = await crashAndAudit({ kills, clients: 4, auditEvery: 10 });
  t.diagnostic(JSON.stringify(figures));
  assert.ok(figures.acknowledged >= figures.kills);
  // Few kills are over before a client comes to revoke.
  assert.ok(figures.revocations > 0 || kills < 100);
});
