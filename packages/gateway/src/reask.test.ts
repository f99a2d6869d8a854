import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileRules, parseAuthorizationPolicies } from '@countersign/authz';
import type { LiveConnection } from '@countersign/mtls';
import {
  neverRevoked,
  type RevocationSource,
  staticBundles,
  type VerifiedPeer,
  verifyPeer,
} from '@countersign/spiffe';
import { testCa, testClock } from '@countersign/testkit';
import { type Facts, reaskClient, reaskUpstream } from './reask.ts';
import type { InFlight, Session } from './session.ts';

const ca = testCa();
const bundles = staticBundles({ trustDomain: 'example.com', authorities: [ca.root] });
const { chain, certificate } = ca.svid('spiffe://example.com/alice');
const afterItsEnd = certificate.notAfter + 5000;

const revoked: RevocationSource = {
  check: () => ({ status: 'revoked', reason: 'keyCompromise', by: 'serial', position: 7, at: 1 }),
};
const unheard: RevocationSource = { check: () => ({ status: 'unknown', detail: 'silent' }) };

test('a peer whose certificate has ended is left to the expiry watch, and its grace', () => {
  assert.deepEqual(askClient({}), { ok: true });
  assert.deepEqual(askUpstream({}), { ok: true });
});

test('whatever else is against a peer cuts it in its grace too', () => {
  const revocations: [RevocationSource, string][] = [
    [revoked, 'ERR_PEER_REVOKED'],
    [unheard, 'ERR_REVOCATION_UNKNOWN'],
  ];
  for (const [revocation, code] of revocations) {
    assert.equal(codeOf(askClient({ revocation })), code);
    assert.equal(codeOf(askUpstream({ revocation })), code);
  }
  const rules = () => compileRules(parseAuthorizationPolicies(denyOrders));
  assert.equal(
    codeOf(askClient({ rules }, { method: 'GET', path: '/orders' })),
    'ERR_AUTHZ_DENIED',
  );
  assert.equal(codeOf(askClient({ rules }, { method: 'GET', path: '/' })), 'ok');
});

const denyOrders = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: closed }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: [/orders] } }] }] }
`;

function askClient(facts: Partial<Facts>, ...inFlight: InFlight[]) {
  const asker = { peer: peer('client'), connection: {}, protocol: 'http' };
  const session = { ...asker, inFlight: new Set(inFlight) } as unknown as Session;
  return reaskClient(factsWith(facts), () => session)(connectionOf('client'));
}

function askUpstream(facts: Partial<Facts>) {
  return reaskUpstream(factsWith(facts), () => undefined)(connectionOf('server'));
}

function factsWith(facts: Partial<Facts>): Facts {
  return {
    rules: () => compileRules([]),
    revocation: neverRevoked,
    bundles,
    ownRefusal: () => undefined,
    unknownRevocation: 'refuse',
    clock: testClock(afterItsEnd),
    ...facts,
  };
}

function connectionOf(purpose: 'client' | 'server'): LiveConnection {
  return { peer: peer(purpose) } as unknown as LiveConnection;
}

function peer(purpose: 'client' | 'server'): VerifiedPeer {
  const verified = verifyPeer({ chain, bundles, at: certificate.notAfter, purpose });
  assert.ok(verified.ok);
  return verified.peer;
}

function codeOf(answer: { ok: true } | { ok: false; code: string }): string {
  return answer.ok ? 'ok' : answer.code;
}
