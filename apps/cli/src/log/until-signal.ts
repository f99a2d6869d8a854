import process from 'node:process';

/** Runs `act` with a signal that SIGTERM or SIGINT aborts; the second of them ends at once. */
export async function untilSignal(act: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const ending = new AbortController();
  const onEnd = () => {
    if (ending.signal.aborted) process.exit(130);
    ending.abort();
  };
  process.on('SIGTERM', onEnd).on('SIGINT', onEnd);
  try {
    await act(ending.signal);
  } finally {
    process.off('SIGTERM', onEnd).off('SIGINT', onEnd);
  }
}
