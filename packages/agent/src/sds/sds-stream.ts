import { randomBytes } from 'node:crypto';
import type { Entry } from '../entries/entry.ts';
import type { CallStatus } from '../grpc/grpc-status.ts';
import type { PeerProcess } from '../peer/peer-process.ts';
import { invalid } from '../serve/refuse-call.ts';
import type { HeldIdentities } from '../svids/held-identities.ts';
import { secretType } from './sds-messages.ts';
import type { SdsReport } from './sds-report.ts';

/** What both kinds of streams have: they are asked, and answer where anything is new. */
export interface SdsStream<Request> {
  /** What is wrong with the request, which ends the stream. */
  asked(request: Request): CallStatus | undefined;
  /** The next answer; undefined where nothing is new; a refusal ends the stream. */
  answer(): Uint8Array | CallStatus | undefined;
}

export interface SdsStreamOptions {
  /** What its process is entitled to now; replaced as that changes. */
  readonly held: { readonly entries: readonly Entry[] };
  readonly process: PeerProcess;
  readonly identities: HeldIdentities;
  readonly report: SdsReport;
}

/** Names that one stream may ask for. */
const mostNames = 256;

/** The next request names it: so that it is known which answer it is about. */
export function newNonce(): string {
  return randomBytes(6).toString('hex');
}

export function wrongType(typeUrl: string | undefined): CallStatus | undefined {
  if (typeUrl === undefined || typeUrl === '' || typeUrl === secretType) return undefined;
  return invalid(`type "${typeUrl.slice(0, 200)}" is not served here, "${secretType}" is`);
}

export function tooMany(names: readonly string[]): CallStatus | undefined {
  if (names.length <= mostNames) return undefined;
  return invalid(`${names.length} names are asked for, at most ${mostNames} are looked up`);
}

/** Where a workload asks for what is not its own, it is told which. */
export function missingOf(
  names: Iterable<string>,
  secrets: readonly { readonly name: string }[],
): CallStatus | undefined {
  const found = new Set(secrets.map(({ name }) => name));
  const missing = [...names].filter((name) => !found.has(name));
  if (missing.length === 0) return undefined;
  const shown = missing.slice(0, 8).map((name) => `"${name.slice(0, 200)}"`);
  return invalid(`no secret of the name ${shown.join(', ')} is for this workload`);
}
