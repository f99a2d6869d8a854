import { CountersignError, counted, fromHex } from '@countersign/base';
import type { RevokeResponse } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import type { Children, Service } from './children.ts';
import { words } from './command-words.ts';
import type { DemoDirectory } from './demo-directory.ts';
import {
  spiffeIdOf,
  writeAuthorityConfig,
  writeGatewayConfig,
  writePolicies,
} from './demo-files.ts';
import type { Narrator } from './narrator.ts';
import { tellRouter } from './router-story.ts';
import {
  type Cast,
  enrolGateway,
  reasonInLog,
  renewGateway,
  startWorkload,
  streamEnd,
} from './story-steps.ts';
import type { GetValue, LoadValue, RenewValue, StreamValue } from './workload-messages.ts';

/** Where things are once the story has been told. */
export interface Told {
  readonly authorityUrl: string;
  readonly gatewayUrl: string;
  readonly adminUrl: string | undefined;
}

const loadMs = 1500;
const loadPerSecond = 200;

/**
 * The whole story, both flows of countersign from end to end, with nothing but the command and small programs that use
 * its rooms. Every step is checked where it is told.
 *
 * @throws CountersignError ERR_CLI_DEMO_STEP at the first step that does not happen
 */
export async function tellStory(
  cli: Cli,
  directory: DemoDirectory,
  children: Children,
  narrator: Narrator,
): Promise<Told> {
  const time = () => cli.clock.monotonic();
  const state = directory.file('state');
  // 0. the workloads' processes start by themselves while the authority is made
  const orders = children.workload('orders');
  const payments = children.workload('payments');
  const shop = children.workload('shop');
  const reports = children.workload('reports');

  // 1. an authority: root, intermediate, ledger
  let began = time();
  const config = await writeAuthorityConfig(directory);
  const root = (await children.run('init', words`init --config ${config} --data ${state}`)).trim();
  expect(fromHex(root)?.length === 32, `init printed "${root}", not a SHA-256`);
  await narrator.step(
    'authority',
    `made a root and an intermediate, root SHA-256 ${root.slice(0, 16)}…`,
    time() - began,
  );
  began = time();
  const authority = await children.serve(
    'authority',
    words`ca serve --config ${config} --data ${state} --port 0`,
  );
  const authorityUrl = firstUrl(authority);
  await narrator.step('serving', `the authority answers on ${authorityUrl}`, time() - began);

  // 2. identities: a one-time token each, the key made where it is used
  began = time();
  const cast: Cast = { directory, children, state, authorityUrl };
  const [ordersUrl, paymentsUrl] = await Promise.all([
    startWorkload(cast, 'orders', orders, { serves: true }),
    startWorkload(cast, 'payments', payments, { serves: true }),
    startWorkload(cast, 'shop', shop, { serves: false }),
    startWorkload(cast, 'reports', reports, { serves: false }),
    enrolGateway(cast, root),
  ]);
  await narrator.step(
    'issued',
    'five workloads made their own keys and got certificates for 1h',
    time() - began,
  );

  // 3. a gateway, and the rules of who may call what
  began = time();
  const policies = await writePolicies(directory);
  const gatewayConfig = await writeGatewayConfig(directory, authorityUrl, {
    orders: ordersUrl,
    payments: paymentsUrl,
  });
  const own = directory.file('gateway');
  const gateway = await children.serve(
    'gateway',
    words`gateway --config ${gatewayConfig} --policy ${policies} --identity ${own} --port 0`,
  );
  const gatewayUrl = firstUrl(gateway);
  await narrator.step(
    'gateway',
    `ready on ${gatewayUrl}: shop may call orders and payments, payments may call orders`,
    time() - began,
  );

  // 4. allowed, and denied with a reason
  const call = (path: string) => ({ url: `${gatewayUrl}${path}`, expect: spiffeIdOf('gateway') });
  began = time();
  const allowed = await shop.ask<GetValue>({ do: 'get', ...call('/orders') });
  expect(
    allowed.status === 200 && allowed.body.includes(spiffeIdOf('shop')),
    `shop got ${allowed.status} ${allowed.body}`,
  );
  await narrator.step(
    'allowed',
    `shop → gateway → orders: 200, and orders was told who called: ${spiffeIdOf('shop')}`,
    time() - began,
  );
  const between = await payments.ask<GetValue>({ do: 'get', ...call('/orders') });
  expect(between.status === 200, `payments got ${between.status} ${between.body}`);
  began = time();
  const denied = await reports.ask<GetValue>({ do: 'get', ...call('/orders') });
  expect(denied.status === 403, `reports got ${denied.status} ${denied.body}, expected 403`);
  const reason = await reasonInLog(cli, directory, denied.body);
  await narrator.step('denied', `reports → gateway: 403 ${reason}`, time() - began);

  // 5. rotation under load
  began = time();
  await shop.ask({ do: 'load', ...call('/orders'), ratePerSecond: loadPerSecond });
  await cli.clock.sleep(loadMs / 3);
  const renewed = await Promise.all([
    shop.ask<RenewValue>({ do: 'renew' }),
    orders.ask<RenewValue>({ do: 'renew' }),
    renewGateway(cli, cast, gateway),
  ]);
  await cli.clock.sleep((loadMs * 2) / 3);
  const load = await shop.ask<LoadValue>({ do: 'stop-load' });
  expect(
    renewed.every(({ before, after }) => before !== after),
    'a renewal brought no new certificate',
  );
  expect(
    load.failed === 0,
    `${load.failed} of ${load.sent} requests failed: ${load.reasons.join('; ')}`,
  );
  expect(load.sent >= loadPerSecond / 2, `only ${load.sent} requests were sent`);
  await narrator.step(
    'rotated',
    `shop, gateway and orders changed keys and certificates under load: ${load.sent} requests, 0 failed`,
    time() - began,
  );

  // 6. revoked: one append to the ledger cuts what is open
  await shop.ask<StreamValue>({ do: 'stream', ...call('/orders/stream') });
  await payments.ask<StreamValue>({ do: 'stream', ...call('/orders/stream') });
  await narrator.step('streaming', 'shop and payments each hold an open stream from orders');
  const answer = await children.run(
    'revoke',
    words`revoke --data ${state} --spiffe-id ${spiffeIdOf('shop')} --reason keyCompromise -o json`,
  );
  const revoked = JSON.parse(answer) as RevokeResponse;
  const cut = await streamEnd(cli, shop);
  expect(revoked.closed >= 1, `the gateway closed ${revoked.closed} connections`);
  const { closed, gateways, elapsedMs } = revoked;
  const where = `${counted(closed, 'connection')} on ${counted(gateways.length, 'gateway')}`;
  await narrator.step(
    'revoked',
    `shop: its stream was cut after ${cut.lines} lines, ${where}, ${formatMs(elapsedMs)} after the commit`,
  );
  expect(
    revoked.acknowledgedBy === 1,
    `${revoked.acknowledgedBy} gateways acknowledged, expected 1`,
  );
  await narrator.step('acknowledged', `by ${revoked.gateways[0]?.spiffeId}`);

  // 7. the innocent connection still works, the revoked one stays out
  const before = await payments.ask<StreamValue>({ do: 'stream-state' });
  await cli.clock.sleep(200);
  const after = await payments.ask<StreamValue>({ do: 'stream-state' });
  expect(after.open && after.lines > before.lines, 'the stream of payments did not go on');
  const refusal = await shop.ask<GetValue>({ do: 'get', ...call('/orders') });
  expect(refusal.status === 403, `shop got ${refusal.status} ${refusal.body}, expected 403`);
  await narrator.step(
    'unharmed',
    `payments reads on (${after.lines} lines so far); shop comes back and gets 403 ${codeIn(refusal.body)}`,
  );

  // 8. the same identities in a GraphQL router, down to the field
  await tellRouter(cli, cast, narrator, { payments, reports });
  return { authorityUrl, gatewayUrl, adminUrl: gateway.urls[1] };
}

function firstUrl(service: Service): string {
  return service.urls[0] ?? '';
}

function expect(happened: boolean, otherwise: string): void {
  if (happened) return;
  throw new CountersignError('ERR_CLI_DEMO_STEP', `demo: ${otherwise}`);
}

function formatMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function codeIn(body: string): string {
  return (JSON.parse(body) as { code: string }).code;
}
