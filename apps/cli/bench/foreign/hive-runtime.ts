// The Hive gateway runtime with its native planner, over mTLS on both sides, as plainly as its documentation has it.
// Started with the folder that it is installed in, and the folder of the measurement's files.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , installed = '', directory = ''] = process.argv;
const require = createRequire(join(installed, 'package.json'));
const load = (name: string) => import(pathToFileURL(require.resolve(name)).href);
const { createGatewayRuntime } = await load('@graphql-hive/gateway-runtime');
const { unifiedGraphHandler } = await load('@graphql-hive/router-runtime');
const { composeServices } = await load('@theguild/federation-composition');
const { parse } = await load('graphql');
const { Agent, fetch } = await import('undici');
const { createServer } = await import('node:https');

const read = (name: string) => readFileSync(join(directory, name), 'utf8');
const pem = {
  key: read('router/key.pem'),
  cert: read('router/chain.pem'),
  ca: read('router/bundle.pem'),
};
const services: { name: string; url: string; sdl: string }[] = JSON.parse(read('services.json'));
const { supergraphSdl } = composeServices(
  services.map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) })),
);
const dispatcher = new Agent({ connect: { ...pem } });
const gateway = createGatewayRuntime({
  supergraph: supergraphSdl,
  unifiedGraphHandler,
  logging: false,
  deduplicateRequest: false,
  maskedErrors: false,
  fetchAPI: { fetch: (url: string, init: object) => fetch(url, { ...init, dispatcher }) },
});
const server = createServer({ ...pem, requestCert: true, rejectUnauthorized: true }, gateway);
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`ready https://127.0.0.1:${port}\n`);
});
