import type { FeedFrame, RevocationFrame } from '@countersign/wire';
import { keptAfterEndMs } from './revoked-set.ts';

/**
 * The frames of a record without those that nobody needs any more: revocations of one certificate that ended long ago,
 * and their releases. Each that is kept names the one before it that is, so that a record which lacks a line is found out
 * as before; the newest stays whatever it is, for it says how far the feed was followed.
 *
 * @param frames without heartbeats and questions, in order
 */
export function compactFrames(frames: readonly FeedFrame[], now: number): FeedFrame[] {
  const newest = frames.findLast((frame) => frame.type === 'revocation');
  const ended = new Set<string>();
  for (const frame of frames) if (hasEnded(frame, now)) ended.add(frame.value);
  const kept: FeedFrame[] = [];
  let previous = 0;
  for (const frame of frames) {
    if (frame.type !== 'revocation') kept.push(frame);
    else if (frame === newest || frame.by !== 'serial' || !ended.has(frame.value)) {
      kept.push({ ...frame, previous });
      previous = frame.position;
    }
  }
  return kept;
}

function hasEnded(frame: FeedFrame, now: number): frame is RevocationFrame {
  if (frame.type !== 'revocation' || frame.by !== 'serial') return false;
  return frame.until !== undefined && frame.until + keptAfterEndMs < now;
}
