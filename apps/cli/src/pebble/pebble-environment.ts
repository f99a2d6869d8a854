import { CountersignError } from '@countersign/base';

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

/** Where Pebble knows no bounds: more is an accident, and each root takes a while. */
const bounds = {
  PEBBLE_VA_SLEEPTIME: [1, 86_400],
  PEBBLE_ALTERNATE_ROOTS: [0, 9],
  PEBBLE_CHAIN_LENGTH: [1, 6],
  PEBBLE_WFE_ORDERS_PER_PAGE: [1, 1_000_000],
} as const;
const int64 = 2n ** 63n;

/** @throws CountersignError ERR_USAGE where a number is beyond our bounds */
export function readPebbleEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): PebbleEnvironment {
  const number = (name: string, least: number, otherwise: number): number => {
    const written = env[name] ?? '';
    if (!/^[+-]?\d{1,40}$/.test(written)) return otherwise;
    const found = BigInt(written.replace(/^\+/, ''));
    if (found < -int64 || found >= int64) return otherwise;
    return found >= least ? Number(found) : otherwise;
  };
  const bounded = (name: keyof typeof bounds, least: number, otherwise: number): number => {
    const found = number(name, least, otherwise);
    const [from, to] = bounds[name];
    if (found >= from && found <= to) return found;
    throw new CountersignError('ERR_USAGE', `${name} is "${env[name]}", expected ${from} to ${to}`);
  };
  const isOn = (name: string) => /^(?:1|true|True|TRUE)$/.test(env[name] ?? '');
  const reject = number('PEBBLE_WFE_NONCEREJECT', Number.NEGATIVE_INFINITY, 5);
  const reuse = number('PEBBLE_AUTHZREUSE', 0, 50);
  return {
    sleepMs: isOn('PEBBLE_VA_NOSLEEP') ? 0 : bounded('PEBBLE_VA_SLEEPTIME', 1, 5) * 1000,
    alwaysValid: isOn('PEBBLE_VA_ALWAYS_VALID'),
    nonceRejectPercent: reject < 0 ? 0 : reject > 100 ? 99 : reject,
    reusePercent: reuse > 100 ? 50 : reuse,
    alternateRoots: bounded('PEBBLE_ALTERNATE_ROOTS', 0, 0),
    chainLength: bounded('PEBBLE_CHAIN_LENGTH', 0, 1),
    ordersPerPage: bounded('PEBBLE_WFE_ORDERS_PER_PAGE', 1, 3),
  };
}
