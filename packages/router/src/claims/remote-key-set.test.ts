import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener } from '@countersign/mtls';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import { testCa, testClock } from '@countersign/testkit';
import { bundleOf, serviceSvid } from '../router-world.suite.ts';
import { RemoteKeySet } from './remote-key-set.ts';

const ca = testCa();
/** What the issuer answers now, and how often it was asked. */
const issuer = { status: 200, body: '', asked: 0, location: '' };
let url: string;
let close: () => Promise<void>;
before(async () => {
  const front = createServer((_request, response) => {
    issuer.asked += 1;
    if (issuer.location !== '') response.setHeader('location', issuer.location);
    response.writeHead(issuer.status);
    response.end(issuer.body);
  });
  const listener = createMtlsListener({
    name: 'issuer',
    svids: staticSvid(serviceSvid(ca, 'issuer')),
    bundles: staticBundles(bundleOf(ca)),
    clientAuth: 'none',
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    onConnection: (socket) => void front.emit('connection', socket),
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  url = `https://localhost:${port}/keys`;
  close = async () => {
    await listener.close(0);
    front.close();
  };
});
after(() => close());

function keySet(...kids: string[]): string {
  const keys = kids.map((kid) => {
    const { publicKey } = generateKeyPairSync('ed25519');
    return { ...publicKey.export({ format: 'jwk' }), kid };
  });
  return JSON.stringify({ keys });
}

async function open(pem: string | undefined) {
  const clock = testClock();
  const set = await RemoteKeySet.open({
    ...{ url, ca: pem, refreshMs: 600_000, maxStaleMs: 3_600_000, clock, log: noLog },
  });
  const kids = () => set.keys().map(({ kid }) => kid);
  return { set, clock, kids };
}

/** The network is real where the clock is not: waits until the issuer was asked so often. */
async function asked(times: number): Promise<void> {
  while (issuer.asked < times) await systemClock.sleep(5);
}

function answerWith(status: number, body: string, location = ''): void {
  Object.assign(issuer, { status, body, location, asked: 0 });
}

test('a key set is fetched again in time, and for a key that is not in it at most once in a while', async () => {
  answerWith(200, keySet('one'));
  const { set, clock, kids } = await open(ca.rootPem);
  assert.deepEqual(kids(), ['one']);
  issuer.body = keySet('one', 'two');
  assert.equal(await set.lookAgain(), false, 'it was fetched just now');
  await clock.advance(31_000);
  const [first, second] = await Promise.all([set.lookAgain(), set.lookAgain()]);
  assert.deepEqual([first, second, issuer.asked], [true, true, 2]);
  assert.deepEqual(kids(), ['one', 'two']);
  issuer.body = keySet('three');
  await clock.advance(600_000);
  await asked(3);
  while (kids()[0] !== 'three') await systemClock.sleep(5);
  set.stop();
});

test('what is no key set replaces none, and the old one is used as long as it may be', async () => {
  answerWith(200, keySet('one'));
  const { set, clock, kids } = await open(ca.rootPem);
  for (const [status, body, location] of [
    [503, keySet('x'), ''],
    [200, 'no JSON', ''],
    [200, '{"keys":[]}', ''],
    [200, `{"keys":[${'0,'.repeat(200_000)}0]}`, ''],
    [302, keySet('x'), url],
  ] as const) {
    Object.assign(issuer, { status, body, location });
    await clock.advance(31_000);
    assert.equal(await set.lookAgain(), false, `${status}`);
    assert.deepEqual(kids(), ['one']);
  }
  clock.step(3_700_000);
  assert.deepEqual(kids(), []);
  set.stop();
});

test('a server that nobody vouches for gives no keys, and the router starts all the same', async () => {
  answerWith(200, keySet('one'));
  for (const pem of [undefined, testCa().rootPem]) {
    const { set, kids } = await open(pem);
    assert.deepEqual(kids(), []);
    set.stop();
  }
  assert.equal(issuer.asked, 0);
});
