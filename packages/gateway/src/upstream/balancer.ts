import type { ClusterModel } from '../model/cluster-model.ts';
import { HashRing } from './hash-ring.ts';
import type { Upstream } from './upstream.ts';

/** What a request says of the endpoint that is to take it. */
export interface Choice {
  /** Passed over where there are others. */
  readonly tried?: ReadonlySet<Upstream> | undefined;
  /** Requests of the same hash go to the same endpoint; absent: to any. Of ring hash alone. */
  readonly hash?: bigint | undefined;
}

/** Picks one of the endpoints that it was made for; undefined where there are none. */
export type Balancer = (choice: Choice) => Upstream | undefined;

export interface Balancing {
  readonly model: Pick<ClusterModel, 'balancing' | 'ring'>;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Where the round is; kept when endpoints change. */
  readonly round: { turn: number };
}

/** A balancer for these endpoints; another is made when they change. */
export function balancerOf(upstreams: readonly Upstream[], balancing: Balancing): Balancer {
  const [only] = upstreams;
  if (upstreams.length < 2) return () => only;
  return balancers[balancing.model.balancing](upstreams, balancing);
}

type MakeBalancer = (upstreams: readonly Upstream[], balancing: Balancing) => Balancer;

const balancers: Readonly<Record<ClusterModel['balancing'], MakeBalancer>> = {
  'round-robin':
    (upstreams, { round }) =>
    ({ tried }) =>
      nextOf(untried(upstreams, tried), round),
  'least-request':
    (upstreams, { random }) =>
    ({ tried }) => {
      const fresh = untried(upstreams, tried);
      // The lesser of two is nearly as good as the least of all, and herds nobody.
      const [one, other] = [anyOf(fresh, random), anyOf(fresh, random)];
      return one !== undefined && other !== undefined && loadOf(other) < loadOf(one) ? other : one;
    },
  random:
    (upstreams, { random }) =>
    ({ tried }) =>
      anyOf(untried(upstreams, tried), random),
  'ring-hash': (upstreams, { model, random }) => {
    const ring = new HashRing(upstreams, model.ring ?? usualRing);
    return ({ tried, hash = anyHash(random) }) =>
      ring.at(hash, (upstream) => tried?.has(upstream) !== true);
  },
};

/** Envoy's minimum; its maximum of 8388608 places takes half a minute to make here. */
export const usualRing = { minSize: 1024, maxSize: 65_536 };

function untried(
  upstreams: readonly Upstream[],
  tried: ReadonlySet<Upstream> | undefined,
): readonly Upstream[] {
  if (tried === undefined) return upstreams;
  const fresh = upstreams.filter((each) => !tried.has(each));
  return fresh.length === 0 ? upstreams : fresh;
}

/** By weight: an endpoint of weight 2 has two turns of each round. */
function nextOf(upstreams: readonly Upstream[], round: { turn: number }): Upstream | undefined {
  const total = upstreams.reduce((sum, { weight }) => sum + weight, 0);
  round.turn = (round.turn + 1) % total;
  let left = round.turn;
  for (const upstream of upstreams) {
    left -= upstream.weight;
    if (left < 0) return upstream;
  }
  return upstreams[0];
}

function anyOf(upstreams: readonly Upstream[], random: () => number): Upstream | undefined {
  return upstreams[Math.floor(random() * upstreams.length)];
}

function anyHash(random: () => number): bigint {
  return BigInt.asUintN(64, BigInt(Math.floor(random() * 2 ** 53)) << 11n);
}

function loadOf({ inFlight, weight }: Upstream): number {
  return (inFlight + 1) / weight;
}
