// A small service and caller of the demo, in a process of its own: gets an identity, serves with it, calls with it.
import process from 'node:process';
import { messageOf, noMeter, systemClock } from '@countersign/base';
import { enrol, type RotatingIdentity, renewOverMtls, startRotation } from '@countersign/identity';
import { systemCli } from '../cli.ts';
import { createLog } from '../serve/pino-log.ts';
import { Caller } from './workload-caller.ts';
import type {
  NumberedOrder,
  RenewValue,
  StartedValue,
  WorkloadAnswer,
  WorkloadOrder,
} from './workload-messages.ts';
import { serveWorkload } from './workload-server.ts';

const log = createLog(systemCli(), 'info');
let identity: RotatingIdentity | undefined;
let caller: Caller | undefined;

type Orders = { [D in WorkloadOrder['do']]: (order: Extract<WorkloadOrder, { do: D }>) => unknown };

const orders: Orders = {
  start,
  get: ({ url, expect }) => theCaller().get(url, expect),
  load: (order) => theCaller().startLoad(order.url, order.expect, order.ratePerSecond),
  'stop-load': () => theCaller().stopLoad(),
  stream: ({ url, expect }) => theCaller().stream(url, expect),
  'stream-state': () => theCaller().streamState(),
  renew,
};

process.on('message', ({ number, order }: NumberedOrder) => {
  const act = orders[order.do] as (order: WorkloadOrder) => unknown;
  Promise.resolve()
    .then(() => act(order))
    .then(
      (value) => answer({ number, ok: true, value }),
      (thrown) => {
        log.error({ err: thrown }, order.do);
        answer({ number, ok: false, value: messageOf(thrown) });
      },
    );
});
// The demo is gone, however it ended.
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));

function answer(message: WorkloadAnswer): void {
  process.send?.(message);
}

async function start(order: Extract<WorkloadOrder, { do: 'start' }>): Promise<StartedValue> {
  const { authorityUrl: url, directory, token } = order;
  // 1. an identity: the key is made here and leaves this process for its own file alone
  const enrolled = await enrol({ url, token, out: directory, clock: systemClock });
  // 2. kept fresh for as long as this runs
  const live = startRotation({
    ...{ identity: enrolled, directory, log },
    renew: renewOverMtls({ url, clock: systemClock }),
    ...{ clock: systemClock, meter: noMeter },
  });
  identity = live;
  // 3. used on both sides, asked at each handshake
  caller = new Caller(live, live);
  const { serialHex: serial, notAfter } = live.svid();
  const facts = { serial, notAfter };
  if (!order.serves) return facts;
  const { name, admits } = order;
  return { ...facts, url: await serveWorkload({ name, svids: live, bundles: live, admits, log }) };
}

async function renew(): Promise<RenewValue> {
  if (identity === undefined) throw new Error('not started');
  const before = identity.svid().serialHex;
  await identity.renewNow();
  return { before, after: identity.svid().serialHex };
}

function theCaller(): Caller {
  if (caller === undefined) throw new Error('not started');
  return caller;
}
