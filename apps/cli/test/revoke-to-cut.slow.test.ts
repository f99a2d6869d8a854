import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFleet } from './fleet.ts';
import { endlessUpstream, revokeOnce } from './revoke-to-cut.ts';

test('a revocation cuts every open connection of its peer and none of another', async (t) => {
  const fleet = await startFleet({ validity: '1h', upstream: endlessUpstream() });
  t.after(() => fleet.end());
  for (let round = 0; round < 3; round += 1) {
    const { answer, cutMs, unharmed, comeback } = await revokeOnce(fleet, 200, `round-${round}`);
    t.diagnostic(
      `100 cut, the last after ${Math.max(...cutMs).toFixed(1)} ms; ${unharmed} of 100 stream on`,
    );
    assert.equal(answer.acknowledgedBy, 1);
    assert.equal(answer.closed, 100, 'what the gateway reports');
    assert.ok(Math.max(...cutMs) < 10_000, 'every connection of the revoked peer is closed');
    assert.equal(unharmed, 100, 'connections of the innocent peer that stream on');
    assert.match(comeback, /^HTTP\/1\.1 403 /, 'the revoked peer is told so when it comes back');
    assert.match(comeback, /ERR_PEER_REVOKED/);
  }
});
