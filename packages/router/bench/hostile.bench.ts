import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { noLog } from '@countersign/base';
import { buildSchema } from 'graphql';
import { parseRouterConfig } from '../src/config/router-config.ts';
import { HeldPlanner } from '../src/defer/held-planner.ts';
import { readRequest } from '../src/http/read-request.ts';
import { AccessRules } from '../src/operation/access.ts';
import { stranger } from '../src/operation/caller.ts';
import { PlannerAliases } from '../src/operation/planner-alias.ts';
import { OperationPreparer } from '../src/operation/prepare-operation.ts';
import { ProgressiveOverride } from '../src/plan/progressive-override.ts';

export interface HostileFigure {
  readonly what: string;
  /** CPU until it is refused, from its bytes on, each time another document; in µs. */
  readonly figureMicros: number;
  /** CPU of reading the same bytes as JSON, which is none of our work. */
  readonly floorMicros: number;
}

const list = (count: number, of: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => of(i)).join(' ');

/** By what is in it: the document of a request, another one for each number. */
const documents: Readonly<Record<string, (i: number) => string>> = {
  '10,000 aliases': (i) => `query Q${i} { a { ${list(10_000, (each) => `a${each}: c`)} } }`,
  'depth 1,000': (i) => `query Q${i} { ${'a { '.repeat(1000)}c${' }'.repeat(1000)} }`,
  '100 circular fragments': (i) =>
    `query Q${i} { ...F0 } ${list(100, (each) => `fragment F${each} on Query { a { ...F${(each + 1) % 100} } }`)}`,
  '10,000 arguments': (i) => `query Q${i} { b(${list(10_000, (each) => `x${each}: 1`)}) { c } }`,
  '1,900 unknown fields': (i) => `query Q${i} { a { ${list(1900, (each) => `x${each}`)} } }`,
};

/**
 * What a request costs that is refused for what it asks: reading it, and the operation up to its refusal. Nothing is
 * remembered of it.
 */
export async function measureHostile(count = 100): Promise<readonly HostileFigure[]> {
  const { limits } = parseRouterConfig('supergraph: x', 'router.yaml', {});
  const schema = buildSchema('type Query { a: Query b(x: String): [Query] c: Int }');
  const overrides = { labels: [], percentages: [] };
  const planner = { publicSdl: '', plan: async () => undefined, overrides, retire() {} };
  const preparer = new OperationPreparer({
    held: new HeldPlanner('', noLog),
    aliases: new PlannerAliases(new Set()),
    ...{ schema, planner, limits, introspection: false },
    access: new AccessRules({ rules: new Map() }, schema),
    override: new ProgressiveOverride(overrides, {}, () => 0),
  });
  const refuse = async (body: Buffer) => {
    const read = await readRequest(requestOf(body), { limits, uploads: undefined });
    if (!read.ok) return;
    const query = read.operations[0]?.query ?? '';
    const prepared = await preparer.prepare(query, undefined, stranger);
    assert.equal(prepared.ok, false);
  };
  const bodies: Record<string, (i: number) => string> = {
    '10 MB': (i) => JSON.stringify({ query: `query Q${i} { c } #${'x'.repeat(10_000_000)}` }),
    'a batch of 1,000': (i) =>
      `[${list(1000, () => `{"query":"query Q${i} { c }"}`).replaceAll(' {"', ',{"')}]`,
  };
  for (const [what, of] of Object.entries(documents)) {
    bodies[what] = (i) => JSON.stringify({ query: of(i) });
  }
  const figures: HostileFigure[] = [];
  for (const [what, of] of Object.entries(bodies)) {
    const times = what === '10 MB' ? 10 : count;
    const sent = Array.from({ length: 2 * times }, (_, i) => Buffer.from(of(i)));
    const warm = sent.splice(0, times);
    await cpuMicros(warm, refuse);
    const figureMicros = await cpuMicros(sent, refuse);
    const floorMicros = await cpuMicros(sent, async (body) => JSON.parse(body.toString('utf8')));
    figures.push({ what, figureMicros, floorMicros });
  }
  return figures;
}

/** A request whose body came in one piece, and whose length was announced. */
function requestOf(body: Buffer): IncomingMessage {
  const headers = { 'content-type': 'application/json', 'content-length': String(body.length) };
  const stream = Readable.from([body], { objectMode: false });
  return Object.assign(stream, { method: 'POST', headers }) as unknown as IncomingMessage;
}

async function cpuMicros(
  bodies: readonly Buffer[],
  work: (body: Buffer) => Promise<unknown>,
): Promise<number> {
  const before = process.cpuUsage();
  for (const body of bodies) await work(body);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / bodies.length;
}
