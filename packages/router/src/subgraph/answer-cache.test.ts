import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { routerWorld } from '../router-world.suite.ts';
import type { SubgraphSource } from '../subgraph.suite.ts';

let asked = 0;
function whoami(cacheControl: string): SubgraphSource {
  return {
    name: 'who',
    sdl: 'type Query { me(slow: Boolean): String } type Mutation { touch: String }',
    cacheControl,
    resolvers: {
      Query: {
        async me(
          _root: unknown,
          { slow }: { slow?: boolean },
          { headers }: { headers: Record<string, string> },
        ) {
          asked += 1;
          if (slow === true) await systemClock.sleep(200);
          return `${headers['x-forwarded-client-cert']?.match(/sa\/([a-z]+)/g)?.at(-1) ?? 'stranger'} ${headers.lang ?? ''}`;
        },
      },
      Mutation: { touch: () => 'done' },
    },
  };
}

const yaml = `
listen: { port: 0, client_mtls: optional }
headers: { propagate: [lang] }
cache: { max_bytes: 1000000 }`;

test('an answer that was kept for one identity is never given to another', async () => {
  const world = await routerWorld({ sources: [whoami('private, max-age=60')], yaml });
  try {
    asked = 0;
    const ask = async (as?: string, headers = {}) =>
      (await world.ask('{ me }', { headers, ...(as !== undefined && { as }) })).data?.me;
    assert.equal(await ask('alice'), 'sa/alice ');
    assert.equal(await ask('bob'), 'sa/bob ');
    assert.equal(await ask('alice'), 'sa/alice ');
    assert.equal(await ask('bob'), 'sa/bob ');
    assert.equal(asked, 2);
    // Nor to the same one under other headers, and of a stranger nothing private is kept.
    assert.equal(await ask('alice', { lang: 'de' }), 'sa/alice de');
    assert.equal(await ask(), 'stranger ');
    assert.equal(await ask(), 'stranger ');
    assert.equal(asked, 5);
  } finally {
    await world.close();
  }
});

test('what says no-store is asked for again, and mutations are never kept', async () => {
  const world = await routerWorld({ sources: [whoami('max-age=60, no-store')], yaml });
  try {
    asked = 0;
    await world.ask('{ me }', { as: 'alice' });
    await world.ask('{ me }', { as: 'alice' });
    assert.equal(asked, 2);
    await world.ask('mutation { touch }', { as: 'alice' });
    await world.ask('mutation { touch }', { as: 'alice' });
    assert.equal(world.subgraphs.get('who')?.requests.length, 4);
  } finally {
    await world.close();
  }
});

test('equal queries that are under way are one, for callers of one identity alone', async () => {
  const world = await routerWorld({ sources: [whoami('no-store')], yaml });
  try {
    asked = 0;
    const ask = async (as: string) => (await world.ask('{ me(slow: true) }', { as })).data?.me;
    const answers = await Promise.all([ask('alice'), ask('alice'), ask('alice'), ask('bob')]);
    assert.deepEqual(answers, ['sa/alice ', 'sa/alice ', 'sa/alice ', 'sa/bob ']);
    assert.ok(asked >= 2 && asked < 4, `${asked} requests`);
  } finally {
    await world.close();
  }
});
