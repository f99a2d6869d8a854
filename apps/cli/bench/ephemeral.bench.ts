import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { revealJoinToken } from '@countersign/wire';
import { idOf, startFleet } from '../test/fleet.ts';

export interface EphemeralFigures {
  /** From the call to the identity, the middle one of the instances. */
  readonly enrolledMs: number;
  /** From the call to the answer of the first request over mTLS. */
  readonly firstRequestMs: number;
  /** Of that, CPU of the instance's main thread: most of it code that runs for the first time. */
  readonly cpuMs: number;
  /** Of the instance that was fastest: what a neighbour on the machine takes away is nobody's figure. */
  readonly bestMs: number;
  /** A key and the handshakes alone, by a process that has its code loaded. */
  readonly floorMs: number;
  readonly instances: number;
}

const program = fileURLToPath(new URL('./ephemeral-process.ts', import.meta.url));

/**
 * Instances that begin with a token and nothing else, or with the authority's roots beside it, one after the other, each
 * a process of its own.
 */
export async function measureEphemeral(
  withRoots = false,
  instances = 11,
): Promise<EphemeralFigures> {
  const fleet = await startFleet({
    validity: '1h',
    upstream: (_, response) => response.end(),
  });
  try {
    const measured: Pick<
      EphemeralFigures,
      'enrolledMs' | 'firstRequestMs' | 'cpuMs' | 'floorMs'
    >[] = [];
    for (let i = 0; i < instances; i += 1) {
      const order = { spiffeId: idOf(`ns/prod/sa/function-${i}`), dns: [], ip: [] };
      const { token } = await fleet.operator.createToken(order);
      const { stdout } = await promisify(execFile)(process.execPath, [
        program,
        fleet.authorityUrl,
        revealJoinToken(token),
        fleet.gatewayUrl,
        idOf('gateway'),
        ...(withRoots ? [await fleet.operator.bundlePem()] : []),
      ]);
      measured.push(JSON.parse(stdout));
    }
    const middle = (of: keyof (typeof measured)[number]) =>
      measured.map((each) => each[of]).toSorted((a, b) => a - b)[Math.floor(instances / 2)] ?? 0;
    return {
      enrolledMs: middle('enrolledMs'),
      firstRequestMs: middle('firstRequestMs'),
      cpuMs: middle('cpuMs'),
      bestMs: Math.min(...measured.map(({ firstRequestMs }) => firstRequestMs)),
      floorMs: middle('floorMs'),
      instances,
    };
  } finally {
    await fleet.end();
  }
}
