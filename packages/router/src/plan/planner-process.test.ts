import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { noLog } from '@countersign/base';
import { shop } from '../shop.suite.ts';
import { composeSupergraph } from '../supergraph/compose-supergraph.ts';
import { isPassing, PlannerProcess } from './planner-process.ts';
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

const odd = new URL('./odd-planner.suite.ts', import.meta.url);
const asked = (query: string) => ({ query, operationName: null, labels: [], percentage: 0 });
const codes = (all: readonly PromiseSettledResult<unknown>[]) =>
  all.map((each) =>
    each.status === 'fulfilled' ? 'planned' : isPassing(each.reason) ? 'passing' : 'refused',
  );

test('one that kills, one that hangs and one without a plan are refused each, and nothing else is', async () => {
  const process = new PlannerProcess('x', noLog, { child: odd, patienceMs: 2000 });
  const queries = ['{ a }', '{ die }', '{ b }', '{ hang }', '{ fail }', '{ c }'];
  const settled = await Promise.allSettled(queries.map((query) => process.plan(asked(query))));
  assert.deepEqual(codes(settled), [
    ...(['planned', 'refused', 'planned'] as const),
    ...(['refused', 'refused', 'planned'] as const),
  ]);
  process.retire();
});

test('plans beyond those that may wait, and those of a process that does not begin, may be asked for again', async () => {
  const busy = new PlannerProcess('x', noLog, { child: odd, maxWaiting: 2 });
  const all = ['{ a }', '{ b }', '{ c }'].map((query) => busy.plan(asked(query)));
  assert.deepEqual(codes(await Promise.allSettled(all)), ['planned', 'planned', 'passing']);
  busy.retire();
  const stuck = new PlannerProcess('hang', noLog, { child: odd, startMs: 100 });
  assert.deepEqual(codes(await Promise.allSettled([stuck.plan(asked('{ a }'))])), ['passing']);
  stuck.retire();
});
