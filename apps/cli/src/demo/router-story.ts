import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '@countersign/base';
import type { Cli } from '../cli.ts';
import type { Workload } from './children.ts';
import { words } from './command-words.ts';
import { spiffeIdOf, trustDomain } from './demo-files.ts';
import type { Narrator } from './narrator.ts';
import type { Cast } from './story-steps.ts';
import type { GetValue } from './workload-messages.ts';

const subgraphProgram = fileURLToPath(new URL('./subgraph.ts', import.meta.url));
const routerId = `spiffe://${trustDomain}/router`;

const schemas = {
  catalog: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
type Query { item: Item }
type Item @key(fields: "id") { id: ID! name: String cost: Int @allow(principals: ["${spiffeIdOf('payments')}"]) }
`,
  stock: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
type Query { warehouses: Int }
type Item @key(fields: "id") { id: ID! inStock: Int }
`,
} as const;

const query = '{ item { name inStock cost } }';

/** A router and two subgraphs, every hop of which is mTLS: one query for two callers, a field of it for one alone. */
export async function tellRouter(
  cli: Cli,
  cast: Cast,
  narrator: Narrator,
  callers: { readonly payments: Workload; readonly reports: Workload },
): Promise<void> {
  const began = cli.clock.monotonic();
  const { directory, children, state } = cast;
  // 1. identities by order of whoever holds the state
  const names = ['router', 'catalog', 'stock'] as const;
  await Promise.all(
    names.map((name) => {
      const names = words`--dns ${`${name}.${trustDomain}`} --ip 127.0.0.1 --out ${directory.file(name)}`;
      const id = `spiffe://${trustDomain}/${name}`;
      return children.run(
        `issue-${name}`,
        words`issue --data ${state} --spiffe-id ${id}`.concat(names),
      );
    }),
  );
  // 2. two subgraphs that admit the router alone
  const [catalog, stock] = await Promise.all(
    (['catalog', 'stock'] as const).map(async (name) => {
      await writeFile(directory.file(`${name}.graphql`), schemas[name]);
      const served = await children.serve(name, [name, directory.file(name)], subgraphProgram);
      return served.urls[0] ?? '';
    }),
  );
  // 3. the router, and one query by two callers
  await writeFile(
    directory.file('router.yaml'),
    `# The demo's router: callers and subgraphs prove who they are.
listen: { address: 127.0.0.1, port: 0, client_mtls: required }
authority: { identity: router }
subgraphs:
  - { name: catalog, url: 'https://127.0.0.1:${catalog}', schema: catalog.graphql, spiffe_id: 'spiffe://${trustDomain}/catalog' }
  - { name: stock, url: 'https://127.0.0.1:${stock}', schema: stock.graphql, spiffe_id: 'spiffe://${trustDomain}/stock' }
`,
  );
  const router = await children.serve(
    'router',
    words`router --config ${directory.file('router.yaml')} --port 0`,
  );
  const url = `${router.urls[0]}/graphql?query=${encodeURIComponent(query)}`;
  const ask = (who: Workload) => who.ask<GetValue>({ do: 'get', url, expect: routerId });
  const [allowed, refused] = await Promise.all([ask(callers.payments), ask(callers.reports)]);
  const whole = '{"data":{"item":{"name":"lamp","inStock":42,"cost":7}}}';
  expect(allowed.body === whole, `payments got ${allowed.status} ${allowed.body}`);
  await narrator.step(
    'router',
    `payments → router → catalog and stock, each hop mTLS: ${allowed.body}`,
    cli.clock.monotonic() - began,
  );
  const isWithheld =
    refused.body.includes('"inStock":42,"cost":null') &&
    refused.body.includes('ERR_GRAPHQL_DENIED');
  expect(isWithheld, `reports got ${refused.status} ${refused.body}`);
  await narrator.step(
    'withheld',
    'reports asks the same and gets all but "cost": ERR_GRAPHQL_DENIED',
  );
}

function expect(happened: boolean, otherwise: string): void {
  if (happened) return;
  throw new CountersignError('ERR_CLI_DEMO_STEP', `demo: ${otherwise}`);
}
