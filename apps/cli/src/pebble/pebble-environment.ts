/** What Pebble's environment says. A value that is none counts as absent, as it does there. */
export interface PebbleEnvironment {
  /** A validation waits by chance up to that long. */
  readonly sleepMs: number;
  readonly alwaysValid: boolean;
  readonly nonceRejectPercent: number;
  readonly reusePercent: number;
  /** Further roots, each with a chain of its own. */
  readonly alternateRoots: number;
  /** Intermediates between a root and the certificates of clients. */
  readonly chainLength: number;
  readonly ordersPerPage: number;
}

/** More is an accident, and each root takes a while. */
const mostRoots = 9;
const longestChain = 6;

export function readPebbleEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): PebbleEnvironment {
  const number = (name: string, least: number, otherwise: number): number => {
    const written = env[name] ?? '';
    const found = /^[+-]?\d{1,9}$/.test(written) ? Number(written) : Number.NaN;
    return found >= least ? found : otherwise;
  };
  const isOn = (name: string) => /^(?:1|true|True|TRUE)$/.test(env[name] ?? '');
  const reuse = number('PEBBLE_AUTHZREUSE', 0, 50);
  return {
    sleepMs: isOn('PEBBLE_VA_NOSLEEP') ? 0 : number('PEBBLE_VA_SLEEPTIME', 1, 5) * 1000,
    alwaysValid: isOn('PEBBLE_VA_ALWAYS_VALID'),
    // All of them would leave no client a way.
    nonceRejectPercent: Math.min(99, Math.max(0, number('PEBBLE_WFE_NONCEREJECT', -1e9, 5))),
    reusePercent: reuse > 100 ? 50 : reuse,
    alternateRoots: Math.min(mostRoots, number('PEBBLE_ALTERNATE_ROOTS', 0, 0)),
    chainLength: Math.min(longestChain, Math.max(1, number('PEBBLE_CHAIN_LENGTH', 0, 1))),
    ordersPerPage: number('PEBBLE_WFE_ORDERS_PER_PAGE', 1, 3),
  };
}
