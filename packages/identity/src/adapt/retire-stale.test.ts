import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { noLog, systemClock } from '@countersign/base';
import { clientId, LiveWorld } from './live-world.suite.ts';
import { retireStale } from './retire-stale.ts';

interface Connection {
  readonly number: number;
}

/** A pool that hands out what it got last, as those of pg and mysql2 do. */
function poolWorld() {
  const source = new LiveWorld().identity(clientId);
  const idle: Connection[] = [];
  const ended: number[] = [];
  let refusals = 0;
  let proofs = 0;
  let count = 0;
  const retirer = retireStale<Connection>(
    source,
    {
      async prove() {
        proofs += 1;
        if (refusals > 0) {
          refusals -= 1;
          throw new Error('certificate refused');
        }
      },
      borrow: async () => take(),
      giveBack: (connection) => give(connection),
      end: ({ number }) => void ended.push(number),
    },
    // Waits of seconds are over in a moment.
    {
      name: 'test',
      log: noLog,
      clock: { ...systemClock, sleep: (_, o) => systemClock.sleep(1, o) },
    },
  );
  function make(began = source.svid().serialHex): Connection {
    count += 1;
    const connection = { number: count };
    retirer.made(connection, began);
    return connection;
  }
  function take(): Connection {
    const connection = idle.pop() ?? make();
    retirer.taken(connection);
    return connection;
  }
  function give(connection: Connection): void {
    idle.push(connection);
    retirer.givenBack(connection);
  }
  return {
    ...{ source, retirer, ended, make, take, give },
    refuse: (times: number) => {
      refusals = times;
    },
    proofs: () => proofs,
    async settle(until: () => boolean) {
      for (let i = 0; i < 10_000 && !until(); i += 1) await turn();
      assert.ok(until());
    },
  };
}

describe('the connections of a pool after a rotation', () => {
  it('are ended once idle, those in use when they are given back', async () => {
    const { source, make, give, ended, settle, retirer } = poolWorld();
    const busy = make();
    for (const each of [make(), make()]) give(each);
    source.rotate();
    await settle(() => ended.length === 2);
    assert.deepEqual(ended.toSorted(), [2, 3]);
    give(busy);
    await settle(() => ended.length === 3);
    give(make());
    await turn();
    assert.equal(ended.length, 3);
    retirer.stop();
  });

  it('stay while the server refuses the new certificate', async () => {
    const { source, make, give, ended, settle, refuse, proofs, retirer } = poolWorld();
    give(make());
    refuse(3);
    source.rotate();
    await settle(() => proofs() === 3);
    assert.deepEqual(ended, []);
    await settle(() => ended.length === 1);
    assert.equal(proofs(), 4);
    retirer.stop();
  });

  it('are of before where they began before, however late they were ready', async () => {
    const { source, make, give, ended, settle, retirer } = poolWorld();
    const began = source.svid().serialHex;
    source.rotate();
    give(make(began));
    await settle(() => ended.length === 1);
    retirer.stop();
  });
});
