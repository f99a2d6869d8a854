// A gRPC service as anybody would write it, which asks for certificates of the bundle. The router reads what it has from
// shipping.pb: protoc --include_imports --descriptor_set_out=shipping.pb shipping.proto
//
//   node shipping.mjs IDENTITY_DIR
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPackageDefinition, Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const [, , identity] = process.argv;
const pem = (file) => readFileSync(join(identity, file));
const proto = fileURLToPath(new URL('./shipping.proto', import.meta.url));
const { shipping } = loadPackageDefinition(loadSync(proto, { enums: String }));

const orders = [
  { id: 'o1', status: 'SENT' },
  { id: 'o2', status: 'PENDING' },
];

const server = new Server();
server.addService(shipping.v1.Shipping.service, {
  BatchGetOrders({ request: { ids = [] } }, answer) {
    answer(null, { orders: orders.filter(({ id }) => ids.includes(id)) });
  },
});
const pair = { cert_chain: pem('chain.pem'), private_key: pem('key.pem') };
const credentials = ServerCredentials.createSsl(pem('bundle.pem'), [pair], true);
server.bindAsync('127.0.0.1:0', credentials, (failed, port) => {
  if (failed !== null) throw failed;
  console.log(`ready ${port}`);
});
process.on('SIGTERM', () => process.exit(0));
