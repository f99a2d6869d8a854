import type { SubgraphSource } from './subgraph.suite.ts';

const link = (...imports: string[]) =>
  `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: [${imports.map((each) => `"${each}"`).join(', ')}])`;

type Values = Record<string, unknown>;

const users: Record<string, Values> = {
  u1: { id: 'u1', name: 'Ada', email: 'ada@example.org', role: 'ADMIN' },
  u2: { id: 'u2', name: 'Grace', email: 'grace@example.org', role: 'ROOT' },
};

const products: Record<string, Values> = {
  p1: {
    upc: 'p1',
    __typename: 'Book',
    title: 'Notes',
    pages: 200,
    price: 10,
    weight: 2,
    maker: { id: 'm1' },
  },
  p2: {
    upc: 'p2',
    __typename: 'Lamp',
    title: 'Lamp',
    watts: 40,
    price: 30,
    weight: null,
    maker: null,
  },
};

const usersGraph: SubgraphSource = {
  name: 'users',
  sdl: `${link('@key', '@inaccessible', '@shareable', '@override')}
type Query { me: User user(id: ID!): User users: [User!]! viewerKind: Role now: Int @shareable }
type Mutation { rename(id: ID!, name: String!): User }
type User @key(fields: "id") {
  id: ID! name: String! email: String secret: String @inaccessible role: Role
  nickname: String @override(from: "reviews")
}
enum Role { ADMIN READER ROOT @inaccessible }`,
  resolvers: {
    Query: {
      me: () => users.u1,
      user: (_: unknown, { id }: { id: string }) => users[id],
      users: () => Object.values(users),
      viewerKind: () => 'ROOT',
      now: () => 1,
    },
    Mutation: {
      rename: (_: unknown, { id, name }: { id: string; name: string }) => ({ ...users[id], name }),
    },
    User: {
      __resolveReference: ({ id }: { id: string }) => users[id],
      nickname: ({ name }: Values) => `${name}!`,
    },
  },
};

const productsGraph: SubgraphSource = {
  name: 'products',
  sdl: `${link('@key', '@shareable')}
type Query { top: [Product!]! product(upc: ID!): Product search: [Found!]! now: Int @shareable broken: [Product!]! }
interface Product @key(fields: "upc") { upc: ID! title: String price: Int }
type Book implements Product @key(fields: "upc") { upc: ID! title: String price: Int weight: Int pages: Int maker: Maker }
type Lamp implements Product @key(fields: "upc") { upc: ID! title: String price: Int weight: Int watts: Int maker: Maker }
type Maker @key(fields: "id") { id: ID! }
type User @key(fields: "id") { id: ID! }
union Found = Book | Lamp | User`,
  resolvers: {
    Query: {
      top: () => Object.values(products),
      product: (_: unknown, { upc }: { upc: string }) => products[upc],
      search: () => [products.p2, { __typename: 'User', id: 'u2' }, products.p1],
      now: () => 1,
      broken: () => {
        throw new Error('out of stock');
      },
    },
    Book: { __resolveReference: ({ upc }: { upc: string }) => products[upc] },
    Lamp: { __resolveReference: ({ upc }: { upc: string }) => products[upc] },
  },
};

/** Federation 1: it extends what others own, and marks what it takes from them. */
const reviewsGraph: SubgraphSource = {
  name: 'reviews',
  sdl: `
extend type Query { latest: [Review!]! }
type Review @key(fields: "id") { id: ID! body: String author: User @provides(fields: "name") of: Book }
extend type User @key(fields: "id") { id: ID! @external name: String! @external nickname: String reviews: [Review!]! }
extend type Book @key(fields: "upc") { upc: ID! @external reviews: [Review!]! }`,
  resolvers: {
    Query: { latest: () => reviews },
    Review: { __resolveReference: ({ id }: Values) => reviews.find((each) => each.id === id) },
    User: {
      __resolveReference: ({ id }: Values) => ({ id }),
      nickname: () => 'the old one',
      reviews: ({ id }: Values) => reviews.filter(({ author }) => author?.id === id),
    },
    Book: {
      __resolveReference: ({ upc }: Values) => ({ upc }),
      reviews: ({ upc }: Values) => reviews.filter(({ of }) => of.upc === upc),
    },
  },
};

const reviews = [
  {
    id: 'r1',
    body: 'good',
    author: { id: 'u1', name: 'Ada (as reviews has it)' },
    of: { upc: 'p1' },
  },
  { id: 'r2', body: 'long', author: null, of: { upc: 'p1' } },
];

const shippingGraph: SubgraphSource = {
  name: 'shipping',
  sdl: `${link('@key', '@requires', '@external', '@interfaceObject')}
type Book @key(fields: "upc") { upc: ID! price: Int @external weight: Int @external postage: Int @requires(fields: "price weight") }
type Product @key(fields: "upc") @interfaceObject { upc: ID! stock: Int }
type Maker @key(fields: "id") { id: ID! country: String! }`,
  resolvers: {
    Book: {
      __resolveReference: (book: Values) => book,
      postage: ({ price, weight }: { price: number; weight: number }) => price + weight,
    },
    Product: {
      __resolveReference: ({ upc }: Values) => ({ upc }),
      stock: ({ upc }: Values) => (upc === 'p1' ? 3 : 0),
    },
    Maker: { __resolveReference: ({ id }: Values) => ({ id, country: 'DE' }) },
  },
};

/** Four subgraphs that between them use what federation has. */
export const shop: readonly SubgraphSource[] = [
  usersGraph,
  productsGraph,
  reviewsGraph,
  shippingGraph,
];
