// A subgraph of the demo's router: `subgraph.ts NAME IDENTITY_DIR`. Says `ready PORT`; ends with its parent.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { denial, noLog, noMeter, systemClock } from '@countersign/base';
import { readIdentity } from '@countersign/identity';
import { createMtlsListener, isAnonymous } from '@countersign/mtls';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import { buildSchema, graphql } from 'graphql';
import { trustDomain } from './demo-files.ts';

interface Representation {
  readonly __typename: string;
  readonly id: string;
}

const roots: Readonly<Record<string, object>> = {
  catalog: {
    item: { __typename: 'Item', id: '1', name: 'lamp', cost: 7 },
    _entities: () => [],
  },
  stock: {
    _entities: ({ representations }: { readonly representations: readonly Representation[] }) =>
      representations.map((each) => ({ ...each, inStock: 42 })),
  },
};

const [, , name = '', identity = ''] = process.argv;
const { svid, bundle } = await readIdentity(identity);
const sdl = readFileSync(join(dirname(identity), `${name}.graphql`), 'utf8');
// What federation adds to a schema, and directives that `graphql` does not know.
const schema = buildSchema(
  `${sdl.replace(/extend schema.*/, '')}
scalar _Any
union _Entity = Item
extend type Query { _entities(representations: [_Any!]!): [_Entity]! }
directive @key(fields: String!) on OBJECT
directive @allow(principals: [String!]) on FIELD_DEFINITION`,
);

const front = createServer(async (request, response) => {
  const { query: source, variables } = JSON.parse(await textOf(request));
  const result = await graphql({
    schema,
    source,
    variableValues: variables,
    rootValue: roots[name],
  });
  response.setHeader('content-type', 'application/json').end(JSON.stringify(result));
});
const listener = createMtlsListener({
  ...{ name, svids: staticSvid(svid), bundles: staticBundles(bundle), clientAuth: 'require' },
  ...{ clock: systemClock, log: noLog, meter: noMeter },
  admit(peer) {
    const shown = isAnonymous(peer) ? 'nobody' : String(peer.spiffeId);
    if (shown === `spiffe://${trustDomain}/router`) return { ok: true };
    return denial('ERR_PEER_UNEXPECTED', `peer is "${shown}", the router is expected`);
  },
  onConnection: (socket) => void front.emit('connection', socket),
});
const { port } = await listener.listen(0, '127.0.0.1');
process.on('disconnect', () => process.exit(0)).on('SIGTERM', () => process.exit(0));
process.stdout.write(`ready ${port}\n`);

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
