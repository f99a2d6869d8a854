import { type Clock, messageOf } from '@countersign/base';
import {
  formatNoteKey,
  type ListStateOfAuthority,
  type StatusFinding,
  type StatusResponse,
} from '@countersign/wire';
import type { Authority } from '../authority.ts';
import type { Retention } from '../ledger/retention/keep-retention.ts';
import type { Publishing } from '../publish/start-publishing.ts';
import type { ClockWatch } from '../serve/watch-clock.ts';
import { describeStatus, logStateOf } from './describe-status.ts';
import { missingLists } from './missing-lists.ts';
import { questionOf, type RevokedWatch, revokedOf } from './revoked-authorities.ts';

/** What runs beside an authority that serves. */
export interface RunningParts {
  readonly publishing: Publishing | undefined;
  readonly retention: Retention | undefined;
  readonly clockWatch: ClockWatch | undefined;
  readonly revoked: RevokedWatch | undefined;
  /** What it serves with. */
  readonly identity: { readonly finding: string | undefined } | undefined;
}

/** The status of an authority that serves. */
export async function servedStatus(parts: {
  readonly authority: Authority;
  readonly running: RunningParts;
  readonly version: string;
  readonly startedAt: number;
  readonly clock: Clock;
}): Promise<StatusResponse> {
  const { authority, running, version, clock } = parts;
  const { publishing, retention, clockWatch } = running;
  const { issuanceLog, config, ledger } = authority;
  const log = issuanceLog && logStateOf(issuanceLog.note, formatNoteKey(issuanceLog.key));
  const signers = authority.signers();
  const findings = [
    ...found('ledger', ledger.failure?.message),
    ...signers.flatMap(({ store, finding }) => found('signers', finding && `${store}: ${finding}`)),
    ...found('rotation', authority.rotation?.failure),
    ...found('log', issuanceLog?.unwell),
    ...found('lists', publishing?.unwell()),
    ...found('retention', retention?.unwell()),
    ...found('clock', clockWatch?.finding()),
    ...found('identity', running.identity?.finding),
    ...(ledger.failure === undefined ? await ownFindings(authority) : []),
  ];
  return describeStatus({
    version,
    trustDomain: config.trustDomain,
    rootFingerprint: authority.rootFingerprint,
    certificates: authority.publishers().map(({ name, certificate, signer }) => ({
      name,
      certificate,
      signs: signer !== undefined,
    })),
    ledger,
    isRetaining: config.ledger.retention.enabled,
    signers,
    lists: publishing?.lists().map(listStateOf),
    log,
    findings,
    clock,
    uptimeMs: clock.monotonic() - parts.startedAt,
  });
}

/** What the ledger says of the authority itself; that it was changed behind it, or cannot be read, is told as well. */
async function ownFindings(authority: Authority): Promise<readonly StatusFinding[]> {
  try {
    await authority.ledger.proveDocuments();
    return [...(await revokedOf(authority)), ...(await missingLists(questionOf(authority)))];
  } catch (thrown) {
    return found('ledger', messageOf(thrown));
  }
}

function found(about: string, detail: string | undefined): readonly StatusFinding[] {
  return detail === undefined || detail === '' ? [] : [{ about, detail }];
}

function listStateOf({
  issuer,
  path,
  list,
}: ReturnType<Publishing['lists']>[number]): ListStateOfAuthority {
  const { number, entries, thisUpdate, nextUpdate } = list;
  return { issuer, path, number: String(number), entries, thisUpdate, nextUpdate };
}
