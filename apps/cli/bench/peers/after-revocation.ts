import { systemClock } from '@countersign/base';
import { type OpenCaller, openCaller } from './caller.ts';
import type { Caller, PeerWorld } from './peer-world.ts';
import type { RunningProxy } from './proxies.ts';

/** What became of two callers, one of whom was revoked while both had an open connection and a session to resume. */
export interface AfterRevocation {
  readonly revoked: Fate;
  readonly innocent: Fate;
  /** From the new list's lying there until the revoked caller's new connection was refused; undefined: never seen. */
  readonly appliedMs: number | undefined;
}

export interface Fate {
  /** Whether its open, idle connection was still there, and a request on it was served. */
  readonly live: 'kept' | 'cut' | 'refused';
  /** What became of a request by the resumed session. */
  readonly resumed: 'served' | 'refused' | 'not resumed, served';
  /** The same by a whole handshake. */
  readonly anew: 'served' | 'refused';
}

const longestMs = 20_000;

/**
 * Puts a list in place that revokes one of two callers, has the proxy take it up, and looks. The rule lets `alice` in
 * alone, so that she is the revoked one and her twin is a second of her connections under another certificate of hers:
 * `twin` has the same names and is not on the list.
 */
export async function afterRevocation(
  world: PeerWorld,
  at: RunningProxy,
): Promise<AfterRevocation> {
  const open = async (caller: Caller, session?: Buffer) =>
    await openCaller(at.port, world.callers[caller], session);
  const held = { revoked: await open('alice'), innocent: await open('twin') };
  const sessions = {
    revoked: await sessionOf(held.revoked),
    innocent: await sessionOf(held.innocent),
  };
  const began = systemClock.monotonic();
  await at.reload(await world.revoke(['alice']));
  let appliedMs: number | undefined;
  while (appliedMs === undefined && systemClock.monotonic() - began < longestMs) {
    await systemClock.sleep(50);
    if ((await askedAnew(await open('alice'))) === 'refused') {
      appliedMs = systemClock.monotonic() - began;
    }
  }
  // A worker that drains has a moment to do so.
  await systemClock.sleep(1000);
  const fateOf = async (who: 'revoked' | 'innocent', caller: Caller): Promise<Fate> => ({
    live: await askedStill(held[who]),
    resumed: await askedResumed(await open(caller, sessions[who])),
    anew: await askedAnew(await open(caller)),
  });
  const revoked = await fateOf('revoked', 'alice');
  const innocent = await fateOf('innocent', 'twin');
  return { revoked, innocent, appliedMs };
}

/** Told within the first answers. */
async function sessionOf(caller: OpenCaller): Promise<Buffer | undefined> {
  for (let i = 0; i < 3; i += 1) {
    if ((await caller.ask()) !== 200) throw new Error('a caller in good standing was refused');
  }
  return caller.session;
}

async function askedStill(caller: OpenCaller): Promise<Fate['live']> {
  if (!caller.isOpen) return 'cut';
  const status = await caller.ask();
  await caller.close();
  if (status === 0) return 'cut';
  return status === 200 ? 'kept' : 'refused';
}

async function askedResumed(caller: OpenCaller): Promise<Fate['resumed']> {
  const { isResumed } = caller;
  if ((await askedAnew(caller)) === 'refused') return 'refused';
  return isResumed ? 'served' : 'not resumed, served';
}

async function askedAnew(caller: OpenCaller): Promise<Fate['anew']> {
  const status = await caller.ask();
  await caller.close();
  return status === 200 ? 'served' : 'refused';
}
