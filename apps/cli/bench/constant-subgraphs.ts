// Three subgraphs whose answers are constant, over mTLS, in a process of their own: what asks them is what is measured.
import { createServer } from 'node:http';
import { join } from 'node:path';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { readIdentity } from '@countersign/identity';
import { createMtlsListener } from '@countersign/mtls';
import { staticBundles, staticSvid } from '@countersign/spiffe';

const answers = {
  orders: { order: { __typename: 'Order', id: '1', total: 3 } },
  customers: {
    _entities: [
      { __typename: 'Order', customer: { __typename: 'Customer', id: 'c', name: 'Ada' } },
    ],
  },
  cities: { _entities: [{ __typename: 'Customer', city: 'London' }] },
};

const [, , directory = ''] = process.argv;
const ports: number[] = [];
for (const [name, data] of Object.entries(answers)) {
  const body = JSON.stringify({ data });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const front = createServer((request, response) => {
    request.resume().once('end', () => response.writeHead(200, headers).end(body));
  });
  front.keepAliveTimeout = 60_000;
  const { svid, bundle } = await readIdentity(join(directory, name));
  const listener = createMtlsListener({
    ...{ name, svids: staticSvid(svid), bundles: staticBundles(bundle), clientAuth: 'require' },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    onConnection: (socket) => void front.emit('connection', socket),
  });
  ports.push((await listener.listen(0, '127.0.0.1')).port);
}
process.send?.({ ports });
