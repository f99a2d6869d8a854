import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testClock } from '@countersign/testkit';
import { GuessLimiter } from './guess-limiter.ts';

describe('guess limiter', () => {
  it('lets a burst fail, then one more after each refill', async () => {
    const clock = testClock();
    const limiter = new GuessLimiter(clock, { burst: 3, refillMs: 1000 });
    for (let i = 0; i < 3; i += 1) {
      assert.equal(limiter.waitMs('192.0.2.1'), 0);
      limiter.failed('192.0.2.1');
    }
    assert.equal(limiter.waitMs('192.0.2.1'), 1000);
    assert.equal(limiter.waitMs('192.0.2.2'), 0);
    await clock.advance(1000);
    assert.equal(limiter.waitMs('192.0.2.1'), 0);
    limiter.failed('192.0.2.1');
    assert.equal(limiter.waitMs('192.0.2.1'), 1000);
    await clock.advance(3000);
    assert.equal(limiter.waitMs('192.0.2.1'), 0);
  });

  it('counts an IPv6 subscriber by its /64, however the address is written', () => {
    const limiter = new GuessLimiter(testClock(), { burst: 1, refillMs: 1000 });
    limiter.failed('2001:db8:0:1::1');
    assert.equal(limiter.waitMs('2001:db8:0:1:ffff::2'), 1000);
    assert.equal(limiter.waitMs('2001:db8:0:2::1'), 0);
    limiter.failed('::ffff:192.0.2.1');
    assert.equal(limiter.waitMs('::ffff:192.0.2.2'), 0);
  });

  it('remembers a bounded number of addresses', () => {
    const limiter = new GuessLimiter(testClock(), { burst: 1, refillMs: 1000, maxAddresses: 2 });
    for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) limiter.failed(address);
    assert.equal(limiter.waitMs('192.0.2.1'), 0);
    assert.equal(limiter.waitMs('192.0.2.3'), 1000);
  });
});
