import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { testCa } from '@countersign/testkit';
import { ChainMemory } from './chain-memory.ts';

const ca = testCa();
const one = ca.svid('spiffe://example.test/one');
const two = ca.svid('spiffe://example.test/two');
const three = ca.svid('spiffe://example.test/three');

test('the leaf longest unseen is forgotten first', () => {
  const memory = new ChainMemory(2);
  memory.remember(one.chain, []);
  memory.remember(two.chain, []);
  memory.remember(one.chain, []);
  memory.remember(three.chain, []);
  assert.equal(memory.size, 2);
  assert.equal(memory.read(resumed(one.certificatePem)).kind, 'chain');
  assert.equal(memory.read(resumed(two.certificatePem)).kind, 'refused');
});

test('what was read is not remembered until somebody says that it is verified', () => {
  const memory = new ChainMemory();
  assert.equal(memory.read(full(one.certificatePem)).kind, 'chain');
  assert.equal(memory.size, 0);
  const again = memory.read(resumed(one.certificatePem));
  assert.equal(again.kind === 'refused' && again.denial.code, 'ERR_TLS_RESUMED_CHAIN_GONE');
});

test('names of full handshakes stand for the name that a resumed one does not show', () => {
  const memory = new ChainMemory();
  memory.remember(one.chain, ['a.test']);
  memory.remember(one.chain, ['b.test']);
  const again = memory.read(resumed(one.certificatePem));
  assert.deepEqual(again.kind === 'chain' && again.serverNames, ['a.test', 'b.test']);
  memory.remember(one.chain, []);
  const unknown = memory.read(resumed(one.certificatePem));
  assert.deepEqual(unknown.kind === 'chain' && unknown.serverNames, []);
});

/** As much of a socket as is looked at; the real ones are in listener.test.ts. */
function full(pem: string, isReused = false): TLSSocket {
  const getPeerX509Certificate = () => new X509Certificate(pem);
  const getProtocol = () => 'TLSv1.2';
  const isSessionReused = () => isReused;
  return { getPeerX509Certificate, getProtocol, isSessionReused } as unknown as TLSSocket;
}

function resumed(pem: string): TLSSocket {
  return full(pem, true);
}
