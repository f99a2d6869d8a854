import { type Clock, type Log, type Meter, noMeter, systemClock } from '@countersign/base';
import { followIdentity } from './follow-identity.ts';
import { readIdentity } from './identity-files.ts';
import { type LiveIdentity, liveIdentity } from './live/live-identity.ts';
import { warningLog } from './live/warning-log.ts';
import { renewOverMtls } from './renewal.ts';
import { startRotation } from './start-rotation.ts';

export interface OpenIdentityOptions {
  /** Where `countersign enrol`, `issue` or `keep` put the files. */
  readonly directory: string;
  /**
   * Who renews. `self` (default): this process, at the authority that identity.json names. `others`: somebody else keeps
   * the files fresh, such as `countersign keep`; they are looked at every second.
   */
  readonly renewal?: 'self' | 'others';
  /** The authority that renews; the one that the identity came from unless given. */
  readonly ca?: string;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
}

/**
 * The identity in a directory, kept fresh for as long as the process lives. An identity that nobody can renew, since no
 * authority is named, is followed as if others did.
 *
 * @throws CountersignError ERR_IDENTITY_FILES
 */
export async function openIdentity(options: OpenIdentityOptions): Promise<LiveIdentity> {
  const { directory, clock = systemClock, log = warningLog, meter = noMeter } = options;
  const identity = await readIdentity(directory);
  const url = options.ca ?? identity.ca;
  if (options.renewal === 'others' || url === undefined) {
    return liveIdentity(followIdentity({ identity, directory, clock, log }));
  }
  const renew = renewOverMtls({ url, clock });
  return liveIdentity(startRotation({ identity, renew, directory, clock, log, meter }));
}
