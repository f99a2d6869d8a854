import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import {
  CountersignError,
  denial,
  errorOfDenial,
  fromHex,
  noLog,
  noMeter,
  systemClock,
} from '@countersign/base';
import type { TestCredential } from '@countersign/testkit';
import {
  type InclusionProof,
  inclusionRanges,
  leafHash,
  nodeHash,
  noteKeyOf,
  proofHashes,
  rootHash,
  signCheckpoint,
} from '@countersign/wire';
import { spkiOf } from '@countersign/x509';
import {
  clientOf,
  credentialOf,
  echo,
  idOf,
  issuing,
  startUpstream,
  startWorld,
} from './gateway-world.suite.ts';
import { allowUnproved, LoggedPeers, type LoggedPeersOptions } from './logged-peers.ts';

const orders = credentialOf('orders');
const alice = credentialOf('alice');
const bob = credentialOf('bob');

test('who is in the log is let in, asked for once; who was signed past it is refused with its own code', async (t) => {
  const log = testLog([orders, alice]);
  const { gateway, loggedPeers } = await worldOf(t, log);
  for (let i = 0; i < 3; i += 1) {
    assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
  }
  const refused = await clientOf(t, gateway.url, bob).ask('/');
  assert.equal(refused.status, 403);
  assert.equal(JSON.parse(refused.body).code, 'ERR_PEER_UNLOGGED');
  const serials = [alice, orders, bob].map(({ certificate }) => certificate.serialHex);
  assert.deepEqual(log.asked.sort(), serials.sort());
  const { proved, refused: refusals, treeSize } = loggedPeers.report();
  assert.deepEqual([proved, refusals, treeSize], [2, 1, 2]);
});

test('a proof of another certificate with the same serial proves nothing', async (t) => {
  const log = testLog([orders, alice]);
  const serial = fromHex(alice.certificate.serialHex) ?? new Uint8Array();
  const twin = issuing.svid(idOf('bob'), { serial });
  assert.equal(twin.certificate.serialHex, alice.certificate.serialHex);
  const { gateway } = await worldOf(t, log);
  assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
  const refused = await clientOf(t, gateway.url, twin).ask('/');
  assert.equal(JSON.parse(refused.body).code, 'ERR_PEER_UNLOGGED');
});

test('a log with another key than the pinned one proves nobody', async (t) => {
  const log = testLog([orders, alice]);
  const { key } = testLog([]);
  const { gateway } = await worldOf(t, log, { key });
  const refused = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(JSON.parse(refused.body).code, 'ERR_PEER_UNLOGGED');
});

test('an upstream that is not in the log gets no request', async (t) => {
  const log = testLog([alice]);
  const { gateway } = await worldOf(t, log);
  const refused = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(refused.status, 502);
  assert.equal(JSON.parse(refused.body).code, 'ERR_UPSTREAM_IDENTITY');
});

test('while the log is silent only who was proved before is let in', async (t) => {
  const log = testLog([orders, alice, bob]);
  const { gateway } = await worldOf(t, log, { waitMs: 50 });
  assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
  for (const silence of ['hangs', 'fails'] as const) {
    log.silence = silence;
    const refused = await clientOf(t, gateway.url, credentialOf('bob')).ask('/');
    assert.equal(JSON.parse(refused.body).code, 'ERR_PEER_LOG_SILENT', silence);
    assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
  }
});

test('let in while the log was silent, as the operator chose: cut once the log denies it', async (t) => {
  const log = testLog([orders, alice]);
  const { gateway, loggedPeers } = await worldOf(t, log, {
    ...{ waitMs: 50, onSilence: allowUnproved },
  });
  log.silence = 'hangs';
  const [kept, cut] = [clientOf(t, gateway.url, alice), clientOf(t, gateway.url, bob)];
  for (const client of [kept, cut]) assert.equal((await client.ask('/')).status, 200);
  assert.equal(loggedPeers.report().letInUnproved, 3);
  const before = gateway.stats().connections;
  log.speak();
  const until = systemClock.monotonic() + 30_000;
  while (gateway.stats().connections === before && systemClock.monotonic() < until) {
    await systemClock.sleep(5);
  }
  assert.equal((await kept.ask('/')).status, 200);
  assert.equal(JSON.parse((await cut.ask('/')).body).code, 'ERR_PEER_UNLOGGED');
});

async function worldOf(
  t: TestContext,
  log: ReturnType<typeof testLog>,
  more: Partial<LoggedPeersOptions> = {},
) {
  const loggedPeers = new LoggedPeers({
    ...{ key: log.key, authority: log, waitMs: 10_000, onSilence: 'refuse', capacity: 100 },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    ...more,
  });
  t.after(() => loggedPeers.stop());
  const upstream = await startUpstream(t, echo, orders);
  const { gateway } = await startWorld(t, upstream.url, { loggedPeers });
  return { gateway, loggedPeers };
}

/** A log of these certificates, with real proofs. */
function testLog(credentials: readonly TestCredential[]) {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = noteKeyOf('example.test/log/00000000', spkiOf(publicKey));
  const leaves = credentials.map(({ certificate }) => leafHash(certificate.raw));
  const size = leaves.length;
  const waiting: (() => void)[] = [];
  const log = {
    key,
    asked: [] as string[],
    silence: undefined as 'hangs' | 'fails' | undefined,
    speak() {
      log.silence = undefined;
      for (const resolve of waiting.splice(0)) resolve();
    },
    async logProof(serial: string): Promise<InclusionProof> {
      log.asked.push(serial);
      if (log.silence === 'fails') {
        throw new CountersignError('ERR_WIRE_UNREACHABLE', 'ask for a proof: it is away');
      }
      if (log.silence === 'hangs') await new Promise<void>((resolve) => waiting.push(resolve));
      const index = credentials.findIndex(({ certificate }) => certificate.serialHex === serial);
      if (index < 0)
        throw errorOfDenial(denial('ERR_LEDGER_CERTIFICATE_UNKNOWN', `no "${serial}"`));
      const node = async ({ level, index: at }: { level: number; index: number }) =>
        subtree(leaves.slice(at * 2 ** level, (at + 1) * 2 ** level));
      const hashes = await proofHashes(inclusionRanges(index, size), node);
      const root = await rootHash(size, node);
      const checkpoint = await signCheckpoint({ size, root }, key, (data) =>
        sign(null, data, privateKey),
      );
      return { kind: 'inclusion', index, hashes, checkpoint };
    },
  };
  return log;
}

function subtree(hashes: readonly Uint8Array[]): Uint8Array {
  const [first = new Uint8Array()] = hashes;
  if (hashes.length === 1) return first;
  const half = hashes.length / 2;
  return nodeHash(subtree(hashes.slice(0, half)), subtree(hashes.slice(half)));
}
