import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { routerWorld } from './router-world.suite.ts';
import { shop } from './shop.suite.ts';

test('50 rotations at one a second under load: no request fails, connections do not grow', async () => {
  const world = await routerWorld({ sources: shop });
  try {
    let isOver = false;
    const failed: unknown[] = [];
    let answered = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const answer = await world.ask('{ me { name reviews { of { title stock } } } }');
        answered += 1;
        if (answer.errors !== undefined) failed.push(answer.errors);
        await systemClock.sleep(10);
      }
    });
    let most = 0;
    for (let i = 0; i < 50; i += 1) {
      await systemClock.sleep(1000);
      world.identity.rotate();
      most = Math.max(most, world.router.status().connections.subgraphs);
    }
    isOver = true;
    await Promise.all(load);
    assert.deepEqual(failed, []);
    assert.ok(answered > 500, `${answered} answers`);
    assert.ok(most <= 4 * 4 * 2, `${most} connections at most`);
    while (world.router.status().connections.subgraphs > 4 * 4) await systemClock.sleep(50);
  } finally {
    await world.close();
  }
});
