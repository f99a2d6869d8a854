import assert from 'node:assert/strict';
import { it } from 'node:test';
import { crashAndAudit } from '../../test/crash-and-audit.ts';

it('survives a hundred kills while four clients enrol, and loses nothing that it acknowledged', async (t) => {
  const figures = await crashAndAudit({ kills: 100, clients: 4 });
  t.diagnostic(JSON.stringify(figures));
  assert.ok(figures.acknowledged >= figures.kills);
  assert.ok(figures.revocations > 0);
});
