import { type Clock, type Log, type Meter, noMeter, systemClock } from '@countersign/base';
import { type LiveIdentity, liveIdentity } from '../live/live-identity.ts';
import { warningLog } from '../live/warning-log.ts';
import { followWorkloadApi } from '../workload-api/follow-workload-api.ts';
import { type IdentityPemFiles, openFiles } from './files/open-files.ts';
import { type OpenIssuedOptions, openIssued } from './open-issued.ts';

interface Surroundings {
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
}

export type IssuedIdentityOptions = Omit<OpenIssuedOptions, keyof Surroundings> & Surroundings;

/**
 * An identity of somebody else's authority, as an application holds it. See {@link openIssued}.
 *
 * @throws CountersignError as {@link openIssued}
 */
export async function issuedIdentity(options: IssuedIdentityOptions): Promise<LiveIdentity> {
  const { clock = systemClock, log = warningLog, meter = noMeter } = options;
  return liveIdentity(await openIssued({ ...options, clock, log, meter }));
}

export interface WorkloadApiOptions extends Omit<Surroundings, 'meter'> {
  /** `unix:///path/of/agent.sock`, as SPIFFE_ENDPOINT_SOCKET has it. */
  readonly address: string;
  /** Which identity, where the agent gives several; the first, unless given. */
  readonly spiffeId?: string;
  /** How long to wait for the first. 30,000 unless given. */
  readonly waitMs?: number;
}

/**
 * The identity that a SPIFFE agent gives, with the bundles of whom it federates with.
 *
 * @throws CountersignError as `followWorkloadApi`
 */
export async function workloadApiIdentity(options: WorkloadApiOptions): Promise<LiveIdentity> {
  const { clock = systemClock, log = warningLog } = options;
  return liveIdentity(await followWorkloadApi({ ...options, clock, log }));
}

export interface FilesIdentityOptions extends Omit<Surroundings, 'meter'> {
  readonly files: IdentityPemFiles;
  /** The SPIFFE ID that the certificate is expected to have. */
  readonly spiffeId?: string;
}

/**
 * The identity in PEM files that somebody else renews. See {@link openFiles}.
 *
 * @throws CountersignError ERR_ISSUER_FILES
 */
export async function filesIdentity(options: FilesIdentityOptions): Promise<LiveIdentity> {
  const { clock = systemClock, log = warningLog } = options;
  return liveIdentity(await openFiles({ ...options, clock, log }));
}
