import { type Clock, formatDuration, type Log, type Meter } from '@countersign/base';

export interface ClockWatch {
  /** What the clock did; undefined while it runs as it should. */
  finding(): string | undefined;
  /** Compares now. */
  look(): void;
  stop(): void;
}

/** A clock that is kept right is moved by less at once. */
const slackMs = 5000;
const lookEveryMs = 5000;
/** So long a jump is told of. */
const toldForMs = 3_600_000;

/**
 * Compares the wall clock with the monotonic one. What is valid, and until when, goes by the wall clock: a jump ends
 * certificates and leases, or lets ended ones live again, and nothing else tells of it.
 */
export function watchClock(parts: {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}): ClockWatch {
  const { clock, log } = parts;
  const jumps = parts.meter.counter({
    name: 'countersign_clock_jumps_total',
    help: 'Times that the clock was found to have jumped, by direction.',
    labels: ['direction'],
  });
  const ending = new AbortController();
  let [wall, mono] = [clock.now(), clock.monotonic()];
  let jump: { readonly byMs: number; readonly from: number; readonly until: number } | undefined;
  void watch();
  return { finding, look, stop: () => ending.abort() };

  function look(): void {
    const [nowWall, nowMono] = [clock.now(), clock.monotonic()];
    const byMs = nowWall - wall - (nowMono - mono);
    const from = wall + (nowMono - mono);
    [wall, mono] = [nowWall, nowMono];
    if (Math.abs(byMs) <= slackMs) return;
    const direction = byMs > 0 ? 'forward' : 'back';
    jump = { byMs, from, until: nowMono + toldForMs };
    jumps.add(1, { direction });
    log.error({ byMs, from: new Date(from).toISOString() }, `the clock jumped ${direction}`);
  }

  function finding(): string | undefined {
    look();
    if (jump === undefined || clock.monotonic() > jump.until) return undefined;
    const { byMs, from } = jump;
    const how = `${byMs > 0 ? 'ahead' : 'back'} by ${formatDuration(Math.abs(Math.round(byMs)))}`;
    return `the clock jumped ${how} at ${new Date(from).toISOString()}`;
  }

  async function watch(): Promise<void> {
    const { signal } = ending;
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) look();
    }
  }
}
