import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { clientId, LiveWorld } from '../adapt/live-world.suite.ts';
import { retireStale } from '../adapt/retire-stale.ts';

test('an application that hands in no log is warned of what it should hear of, without fields', async () => {
  const source = new LiveWorld().identity(clientId);
  const retirer = retireStale<object>(
    source,
    {
      prove: () => Promise.reject(new Error('unknown authority')),
      borrow: async () => ({}),
      giveBack: () => {},
      end: () => {},
    },
    { name: 'test', clock: systemClock },
  );
  const warned = once(process, 'warning', { signal: AbortSignal.timeout(30_000) });
  source.rotate();
  const [warning] = (await warned) as [Error];
  retirer.stop();
  assert.equal(warning.name, 'CountersignWarning');
  assert.match(warning.message, /connections of before are kept: unknown authority$/);
});
