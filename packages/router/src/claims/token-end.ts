import { type Clock, type Denial, denial } from '@countersign/base';
import type { Caller } from '../operation/caller.ts';

/** Denials: ERR_GRAPHQL_TOKEN. Of a caller who showed a token that holds no more. */
export function judgeTokenEnd({ claims }: Caller, clock: Clock): Denial | undefined {
  if (claims === undefined || clock.now() < claims.endsAt) return undefined;
  return denial('ERR_GRAPHQL_TOKEN', 'the token has ended');
}

/** How soon a wall clock that was set is noticed. */
const lookMs = 1000;

/** Calls back once the caller's token has ended, unless the signal comes before. */
export async function onTokenEnd(
  caller: Caller,
  clock: Clock,
  signal: AbortSignal,
  onEnd: (ended: Denial) => void,
): Promise<void> {
  const { claims } = caller;
  if (claims === undefined) return;
  while (!signal.aborted) {
    const ended = judgeTokenEnd(caller, clock);
    if (ended !== undefined) return onEnd(ended);
    const ms = Math.min(lookMs, claims.endsAt - clock.now());
    await clock.sleep(ms, { signal, ref: false }).catch(() => {});
  }
}
