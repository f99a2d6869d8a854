import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { startAgent } from '@countersign/agent';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { authorityClient } from '@countersign/identity';
import { idOf, startFleet, trustDomain } from '../test/fleet.ts';

export interface EntryFigures {
  /** From asking the authority for an entry until its SVID is on the workload's open stream. */
  readonly madeP50Ms: number;
  readonly madeMostMs: number;
  /** From asking it to delete the entry until the stream says so. */
  readonly deletedP50Ms: number;
  readonly deletedMostMs: number;
  readonly rounds: number;
}

/** An authority with its durable ledger in a process of its own, an agent and a workload in this one. */
export async function measureEntryToStream(rounds = 20): Promise<EntryFigures> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const fleet = await startFleet({ validity: '1h', upstream: (_, response) => response.end() });
  const { operator } = fleet;
  const live = await fleet.workload('agent');
  const { bundle } = live.identity;
  const own = { svids: live, bundles: live, trustDomain, clock: systemClock };
  const agent = await startAgent({
    ...{ socket: join(directory, 'agent.sock'), bundle, entries: [] },
    authority: authorityClient({ url: fleet.authorityUrl, ...own }),
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
  const draftOf = (name: string) => ({
    ...{ spiffeId: idOf(name), agent: idOf('agent'), hint: '', dns: [], federatesWith: [] },
    selectors: [`unix:uid:${userInfo().uid}`],
  });
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect(agent.socket),
  });
  try {
    await operator.createEntry(draftOf('first'));
    const stream = await firstAnswer();
    const made: number[] = [];
    const deleted: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const started = performance.now();
      const news = once(stream, 'data');
      const entry = await operator.createEntry(draftOf(`bench-${round}`));
      await news;
      made.push(performance.now() - started);
      const again = performance.now();
      const gone = once(stream, 'data');
      await operator.deleteEntry(entry.id);
      await gone;
      deleted.push(performance.now() - again);
    }
    return {
      madeP50Ms: middle(made),
      madeMostMs: Math.max(...made),
      deletedP50Ms: middle(deleted),
      deletedMostMs: Math.max(...deleted),
      rounds,
    };
  } finally {
    session.destroy();
    await agent.close();
    await fleet.end();
    rmSync(directory, { recursive: true });
  }

  /** Until the first entry has reached the agent, the workload is refused. */
  async function firstAnswer() {
    for (;;) {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
        'content-type': 'application/grpc',
        te: 'trailers',
        'workload.spiffe.io': 'true',
      });
      stream.end(Buffer.alloc(5));
      const [headers] = await once(stream, 'response');
      if (headers['grpc-status'] !== undefined) continue;
      await once(stream, 'data');
      return stream;
    }
  }
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
