import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { noLog } from '@countersign/base';
import { shop } from '../shop.suite.ts';
import { composeSupergraph } from '../supergraph/compose-supergraph.ts';
import { openQueryPlanner, type QueryPlanner } from './query-planner.ts';

const nothingMoves = { labels: new Set<string>(), percentage: 0, key: '' };
/** Valid, and yet the native planner's end: a field of an interface object beside one with @requires. */
const deadly = '{ product(upc: "p1") { ... on Book { postage stock } } }';

let planner: QueryPlanner;
before(async () => {
  const subgraphs = shop.map(({ name, sdl }) => ({ name, sdl, url: 'https://x', from: name }));
  planner = await openQueryPlanner(composeSupergraph(subgraphs), noLog);
});
after(() => planner.retire());

test('a document that ends the planner is refused, and those that were planned beside it are planned', async () => {
  const plan = (query: string) => planner.plan(query, undefined, nothingMoves);
  const [first, dead, second] = await Promise.allSettled([
    plan('{ me { name reviews { body } } }'),
    plan(deadly),
    plan('{ top { title } }'),
  ]);
  assert.equal(first.status, 'fulfilled');
  assert.equal(second.status, 'fulfilled');
  // A planner that has learnt to plan it is welcome.
  if (dead.status === 'rejected') {
    assert.equal((dead.reason as { code: string }).code, 'ERR_ROUTER_PLANNER');
  }
  assert.equal((await plan('{ me { name } }'))?.kind, 'fetch');
});
