import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { after, before, test } from 'node:test';
import { routerWorld, type World } from '../router-world.suite.ts';
import { type ReceivedForm, uploadSubgraph } from './upload-subgraph.suite.ts';

const link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3")';
const files = {
  name: 'files',
  sdl: `${link} scalar Upload type Query { stored: Int }
    input Album { title: String photos: [Upload!]! }
    type Mutation { store(file: Upload, album: Album): Int }`,
  resolvers: {},
};
const others = {
  name: 'others',
  sdl: `${link} scalar Upload type Query { other: Int } type Mutation { keep(file: Upload): Int }`,
  resolvers: {},
};

const received: ReceivedForm[] = [];
let world: World;
before(async () => {
  world = await routerWorld({
    sources: [files, others],
    impostors: { files: uploadSubgraph(received, files.sdl) },
    yaml: 'uploads: { max_files: 3, max_file_bytes: 300000 }\nlimits: { max_body_bytes: 4096 }',
  });
});
after(() => world.close());

interface Part {
  readonly name: string;
  readonly text?: string;
  readonly file?: Buffer;
}

const store = 'mutation ($file: Upload) { store(file: $file) }';
const boundary = 'abc123';

function operations(query: string, variables: object): Part {
  return { name: 'operations', text: JSON.stringify({ query, variables }) };
}

function map(paths: object): Part {
  return { name: 'map', text: JSON.stringify(paths) };
}

function formOf(parts: readonly Part[], end = `--${boundary}--\r\n`): Buffer {
  const chunks = parts.flatMap(({ name, text, file }) => {
    const named = file === undefined ? '' : '; filename="a \\"b\\".bin"';
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${named}\r\n\r\n`;
    return [Buffer.from(head), file ?? Buffer.from(text ?? ''), Buffer.from('\r\n')];
  });
  return Buffer.concat([...chunks, Buffer.from(end)]);
}

interface Told {
  readonly status: number;
  readonly body: {
    readonly data?: object;
    readonly errors?: {
      readonly message: string;
      readonly extensions: { readonly code: string };
    }[];
  };
}

function send(body: Buffer, headers: Record<string, string> = {}): Promise<Told> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      `${world.router.url}/graphql`,
      {
        method: 'POST',
        headers: {
          'content-type': `multipart/form-data; boundary=${boundary}`,
          'apollo-require-preflight': 'yes',
          'content-length': body.length,
          ...headers,
        },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

test('a file is streamed to the subgraph in the form in which it came', async () => {
  const file = randomBytes(250_000);
  const parts = [operations(store, { file: null }), map({ 0: ['variables.file'] })];
  const told = await send(formOf([...parts, { name: '0', file }]));
  assert.deepEqual(told, { status: 200, body: { data: { store: 250_000 } } });
  const form = received.at(-1);
  assert.deepEqual(JSON.parse(form?.fields.map ?? ''), { 0: ['variables.file'] });
  assert.deepEqual(JSON.parse(form?.fields.operations ?? '').variables, { file: null });
  assert.equal(form?.files[0]?.sha256, createHash('sha256').update(file).digest('hex'));
  assert.equal(form?.headers['apollo-require-preflight'], 'true');
});

test('several files go into lists of input objects, whatever order they come in', async () => {
  const album = { title: 'x', photos: [null, null] };
  const query = 'mutation ($album: Album) { store(album: $album) }';
  const paths = { a: ['variables.album.photos.0'], b: ['variables.album.photos.1'] };
  const two = [
    { name: 'b', file: Buffer.from('bb') },
    { name: 'a', file: Buffer.from('a') },
  ];
  const told = await send(formOf([operations(query, { album }), map(paths), ...two]));
  assert.deepEqual(told.body, { data: { store: 3 } });
  assert.deepEqual(JSON.parse(received.at(-1)?.fields.map ?? ''), paths);
});

test('a file that two fetches want is refused by name, before any of them is sent', async () => {
  const before = received.length;
  const query = 'mutation ($file: Upload) { store(file: $file) keep(file: $file) }';
  const parts = [operations(query, { file: null }), map({ 0: ['variables.file'] })];
  const told = await send(formOf([...parts, { name: '0', file: Buffer.from('x') }]));
  assert.equal(told.body.errors?.[0]?.extensions.code, 'ERR_GRAPHQL_UPLOAD');
  assert.match(told.body.errors?.[0]?.message ?? '', /2 fetches, of "files", "others"/);
  assert.equal(received.length, before);
});

test('a form that a foreign page could send is refused', async () => {
  const parts = [operations(store, { file: null }), map({ 0: ['variables.file'] })];
  const body = formOf([...parts, { name: '0', file: Buffer.from('x') }]);
  const told = await send(body, { 'apollo-require-preflight': '' });
  assert.equal(told.status, 200, 'an empty header needed a preflight as well');
  const refused = await new Promise<number>((resolve, reject) => {
    const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` };
    const sent = httpRequest(`${world.router.url}/graphql`, { method: 'POST', headers }, (answer) =>
      resolve(answer.statusCode ?? 0),
    );
    sent.on('error', reject);
    sent.end(body);
  });
  assert.equal(refused, 403);
});

const file = { name: '0', file: Buffer.from('x') };
const one = operations(store, { file: null });
const placed = map({ 0: ['variables.file'] });
const hostile: readonly (readonly [
  what: string,
  parts: readonly Part[],
  status: number,
  says: RegExp,
])[] = [
  ['no map', [one], 400, /"map" is missing/],
  ['map first', [placed, one, file], 400, /where operations is expected/],
  ['a file first', [file, one, placed], 400, /before "map"/],
  ['a file that is missing', [one, placed], 400, /file "0" of "map" was not sent/],
  ['a file too many', [one, placed, file, { ...file, name: '1' }], 400, /not in "map"/],
  ['a file twice', [one, placed, file, file], 400, /came twice/],
  [
    'a field after the map',
    [one, placed, { name: 'x', text: 'y' }, file],
    400,
    /parts|files is expected/,
  ],
  ['a path to nowhere', [one, map({ 0: ['variables.nobody'] }), file], 400, /leads to no null/],
  [
    'a path through a prototype',
    [one, map({ 0: ['variables.__proto__.file'] }), file],
    400,
    /leads to no null/,
  ],
  ['a path out of the variables', [one, map({ 0: ['query'] }), file], 400, /leads to no null/],
  [
    'one place for two files',
    [one, map({ 0: ['variables.file'], 1: ['variables.file'] }), file],
    400,
    /leads to no null/,
  ],
  ['no list of paths', [one, map({ 0: 'variables.file' }), file], 400, /no list of 1 to/],
  [
    'a giant map',
    [
      one,
      map(Object.fromEntries(Array.from({ length: 90 }, (_, i) => [i, ['variables.file']]))),
      file,
    ],
    400,
    /90 files, at most 3/,
  ],
  [
    'a map beyond the limit of a body',
    [one, { name: 'map', text: `{"0":["${'x'.repeat(5000)}"]}` }, file],
    413,
    /more than 4096 bytes/,
  ],
  ['a batch', [{ name: 'operations', text: '[]' }, placed, file], 400, /a batch/],
  ['no JSON', [{ name: 'operations', text: '{' }, placed, file], 400, /no JSON/],
  [
    'a file beyond its limit',
    [one, placed, { name: '0', file: Buffer.alloc(300_001) }],
    413,
    /more than 300000 bytes/,
  ],
  [
    'a file for a number',
    [operations('mutation ($file: Int) { store(file: $file) }', { file: null }), placed, file],
    200,
    /Int/,
  ],
];

/** Forms that the subgraph got to the end of: those of the tests before. */
const wholeForms = 3;

for (const [what, parts, status, says] of hostile) {
  test(`refused: ${what}`, async () => {
    const told = await send(formOf(parts));
    assert.match(told.body.errors?.[0]?.message ?? '', says);
    assert.equal(told.status, status);
    assert.equal(received.filter(({ isWhole }) => isWhole).length, wholeForms);
  });
}

test('a body without its end, and one without a boundary, are refused', async () => {
  const cut = await send(formOf([one, placed, file], ''));
  assert.equal(cut.status, 400);
  const type = { 'content-type': 'multipart/form-data' };
  const bare = await send(formOf([one, placed, file]), type);
  assert.match(bare.body.errors?.[0]?.message ?? '', /boundary/);
});
