import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError, noLog } from '@countersign/base';
import { parseRouterConfig } from '../config/router-config.ts';
import { HeldPlanner } from '../defer/held-planner.ts';
import { AccessRules } from '../operation/access.ts';
import { stranger } from '../operation/caller.ts';
import { PlannerAliases } from '../operation/planner-alias.ts';
import { OperationPreparer } from '../operation/prepare-operation.ts';
import { publicSchemaOf } from '../operation/public-schema.ts';
import { composeSupergraph } from '../supergraph/compose-supergraph.ts';
import { readSupergraph } from '../supergraph/supergraph.ts';
import { type OverrideLabels, ProgressiveOverride } from './progressive-override.ts';
import { openQueryPlanner } from './query-planner.ts';

const link = (version: string, ...names: string[]) =>
  `extend schema @link(url: "https://specs.apollo.dev/federation/${version}", import: [${names.map((each) => `"${each}"`)}])`;

function sdlOf(label: string): string {
  const theirs = `${link('v2.7', '@key')} type Query { me: User } type User @key(fields: "id") { id: ID! name: String plan: String }`;
  const ours = `${link('v2.7', '@key', '@override')} type User @key(fields: "id") {
    id: ID! name: String @override(from: "old", label: "percent(20)") plan: String @override(from: "old", label: "${label}") }`;
  return composeSupergraph([
    { name: 'old', url: 'https://old.example', sdl: theirs, from: 'old.graphql' },
    { name: 'new', url: 'https://new.example', sdl: ours, from: 'new.graphql' },
  ]);
}

/** Which subgraph is asked for the field by operations that draw these numbers, one after the other. */
async function whoAnswers(field: string, draws: number[], configured: OverrideLabels) {
  const supergraph = readSupergraph(sdlOf('checkout:v2'), 'test');
  const planner = await openQueryPlanner(supergraph.sdl, noLog);
  const schema = publicSchemaOf(planner.publicSdl);
  const { limits, introspection } = parseRouterConfig('supergraph: s.graphql', 'router.yaml', {});
  const left = [...draws];
  const preparer = new OperationPreparer({
    held: new HeldPlanner('', noLog),
    aliases: new PlannerAliases(new Set()),
    ...{ schema, planner, limits, introspection, access: new AccessRules(supergraph, schema) },
    override: new ProgressiveOverride(planner.overrides, configured, () => left.shift() ?? 0),
  });
  const found: string[] = [];
  for (const _ of draws) {
    const prepared = await preparer.prepare(`{ me { ${field} } }`, undefined, stranger);
    assert.ok(prepared.ok);
    const asked = JSON.stringify(prepared.plan).includes('"subgraph":"new"');
    found.push(asked ? 'new' : 'old');
  }
  planner.retire();
  return found;
}

test('a field with percent(20) moves for the operations that draw below it, each planned for itself', async () => {
  const draws = [19.99, 20, 0, 99, 10];
  assert.deepEqual(await whoAnswers('name', draws, {}), ['new', 'old', 'new', 'old', 'new']);
});

test('a field with a label of its own moves when the configuration says so, or for its share', async () => {
  assert.deepEqual(await whoAnswers('plan', [0, 99], {}), ['old', 'old']);
  assert.deepEqual(await whoAnswers('plan', [0, 99], { 'checkout:v2': true }), ['new', 'new']);
  const shared = { 'checkout:v2': 50 };
  assert.deepEqual(await whoAnswers('plan', [49, 50, 99, 1], shared), ['new', 'old', 'old', 'new']);
});

test('a label that is none is refused when the supergraph is composed', () => {
  for (const label of ['percent(120)', 'two words']) {
    assert.throws(
      () => sdlOf(label),
      (thrown: unknown) =>
        thrown instanceof CountersignError &&
        thrown.code === 'ERR_ROUTER_SUPERGRAPH' &&
        thrown.message.includes(`Invalid @override label "${label}"`),
    );
  }
});

test('labels of the configuration that no field has are told', () => {
  assert.deepEqual(ProgressiveOverride.unknown(['a'], { a: true, b: 5 }), ['b']);
});
