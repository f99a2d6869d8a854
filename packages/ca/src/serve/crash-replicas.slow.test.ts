import assert from 'node:assert/strict';
import { it } from 'node:test';
import { postgresServer } from '@countersign/testkit';
import { crashAndAudit } from '../../test/crash-and-audit.ts';

const server = await postgresServer({ given: process.env.DATABASE_URL });
/** As for one authority: `COUNTERSIGN_KILLS=1000 node --test packages/ca/src/serve/crash-replicas.slow.test.ts`. */
const kills = Number(process.env.COUNTERSIGN_KILLS ?? 100);
const name = `survives ${kills} kills of one of two authorities, while clients go on with the other`;

if ('skip' in server) it(name, { skip: server.skip }, () => {});
else {
  const { url } = server;
  it(name, async (t) => {
    t.after(() => server.close());
    const shared = { url, schema: `crash_${process.pid}`, authorities: 2 };
    const figures = await crashAndAudit({ kills, clients: 4, auditEvery: 10, shared });
    t.diagnostic(JSON.stringify(figures));
    assert.ok(figures.acknowledged >= figures.kills / 2);
    // Few kills are over before a client comes to revoke.
    assert.ok(figures.revocations > 0 || kills < 100);
  });
}
