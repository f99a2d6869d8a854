// A subgraph as anybody would write it: node:https that asks for certificates of the bundle, and graphql.
//
//   node subgraph.mjs NAME IDENTITY_DIR
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { buildSchema, graphql } from 'graphql';

const [, , name, identity] = process.argv;
const pem = (file) => readFileSync(join(identity, file));
const sdl = readFileSync(new URL(`./${name}.graphql`, import.meta.url), 'utf8');

const users = [
  { __typename: 'User', id: 'u1', name: 'Ada', email: 'ada@example.org' },
  { __typename: 'User', id: 'u2', name: 'Grace', email: 'grace@example.org' },
];
const orders = [
  { __typename: 'Order', id: 'o1', total: 40, by: { id: 'u1' } },
  { __typename: 'Order', id: 'o2', total: 2, by: { id: 'u2' } },
];

const roots = {
  users: {
    me: users[0],
    users,
    _entities: ({ representations }) =>
      representations.map(({ id }) => users.find((each) => each.id === id)),
  },
  orders: {
    latest: orders,
    _entities: ({ representations }) =>
      representations.map(({ __typename, id }) =>
        __typename === 'Order'
          ? orders.find((each) => each.id === id)
          : { __typename, id, orders: orders.filter(({ by }) => by.id === id) },
      ),
  },
};

// What federation adds to a schema, and directives that `graphql` does not know.
const entities = [...sdl.matchAll(/type (\w+) @key/g)].map(([, type]) => type).join(' | ');
const schema = buildSchema(
  `${sdl.replace(/extend schema.*/, '').replace('type Query {', 'type Query {\n  _entities(representations: [_Any!]!): [_Entity]!')}
scalar _Any
union _Entity = ${entities}
directive @key(fields: String!) repeatable on OBJECT
directive @allow(principals: [String!], roles: [String!]) repeatable on OBJECT | FIELD_DEFINITION`,
);

const server = createServer(
  {
    key: pem('key.pem'),
    cert: pem('chain.pem'),
    ca: pem('bundle.pem'),
    requestCert: true,
    rejectUnauthorized: true,
  },
  async (request, response) => {
    const { query: source, variables: variableValues } = JSON.parse(
      await new Response(request).text(),
    );
    const result = await graphql({ schema, source, variableValues, rootValue: roots[name] });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(result));
  },
);
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
