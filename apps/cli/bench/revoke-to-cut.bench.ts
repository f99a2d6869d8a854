import { startFleet } from '../test/fleet.ts';
import { endlessUpstream, revokeOnce } from '../test/revoke-to-cut.ts';

export interface CutFigures {
  readonly connections: number;
  /** From asking the authority until the client saw its socket close, over every connection that was cut. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From the append to the gateway's acknowledgement, as `revoke` prints it; the median of the rounds. */
  readonly acknowledgedMs: number;
  readonly cut: number;
  readonly unharmed: number;
}

/** Revocations with `connections` open streams through a gateway, half of them the revoked peer's. */
export async function measureRevokeToCut({
  connections = 200,
  rounds = 10,
} = {}): Promise<CutFigures> {
  const fleet = await startFleet({ validity: '1h', upstream: endlessUpstream() });
  try {
    const all: number[] = [];
    const acknowledged: number[] = [];
    let unharmed = 0;
    for (let round = 0; round < rounds; round += 1) {
      const { answer, cutMs, unharmed: kept } = await revokeOnce(fleet, connections, `r${round}`);
      all.push(...cutMs);
      acknowledged.push(answer.elapsedMs);
      unharmed += kept;
    }
    all.sort((a, b) => a - b);
    acknowledged.sort((a, b) => a - b);
    return {
      connections,
      p50Ms: all[Math.floor(all.length * 0.5)] ?? Number.NaN,
      p99Ms: all[Math.floor(all.length * 0.99)] ?? Number.NaN,
      acknowledgedMs: acknowledged[Math.floor(acknowledged.length / 2)] ?? Number.NaN,
      cut: all.filter(Number.isFinite).length,
      unharmed,
    };
  } finally {
    await fleet.end();
  }
}
