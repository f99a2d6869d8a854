import { type Clock, CountersignError, type Log, type Secret } from '@countersign/base';
import {
  type EvidenceSource,
  enrol,
  enrolByEvidence,
  type Identity,
  type ProofKey,
  type RotatingIdentity,
  readIdentity,
} from '@countersign/identity';

export interface OwnIdentityOptions {
  /** The verb, for messages. */
  readonly who: string;
  /** Where the identity is kept, and taken from when somebody else renews it there. */
  readonly identity?: string | undefined;
  /** Enrols where there is no identity yet. */
  readonly token?: Secret<string> | undefined;
  /** The authority, as far as options or configuration name one. */
  readonly ca?: string | undefined;
  /** Signs where it enrols. */
  readonly proofKey?: ProofKey | undefined;
  /** Enrols where there is no identity that holds, and no token. */
  readonly attest?: { readonly fingerprint: string; readonly source: EvidenceSource } | undefined;
}

/**
 * The identity of the directory; where it has none yet and there is a token, a new one.
 *
 * @throws CountersignError ERR_USAGE, ERR_IDENTITY_*, and what `enrol` throws
 */
export async function obtainIdentity(
  options: OwnIdentityOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<{ identity: Identity; url: string }> {
  const { who, identity: directory, token, ca, attest } = options;
  const existing =
    directory === undefined ? undefined : await existingIdentity(options, directory, clock.now());
  if (existing !== undefined) {
    const url = ca ?? existing.ca;
    if (url === undefined)
      throw usage(who, 'no authority is named by --ca, the file or identity.json');
    return { identity: { ...existing, ca: url }, url };
  }
  if (token === undefined && attest === undefined) {
    throw usage(who, '--identity, or --ca with --token, is missing');
  }
  const what = token === undefined ? '"attest" in the file' : '--token';
  if (ca === undefined) throw usage(who, `${what} needs --ca, or "ca" in the file`);
  const { proofKey } = options;
  const common = {
    ...{ url: ca, clock },
    ...(directory !== undefined && { out: directory }),
    ...(proofKey !== undefined && { proofKey }),
  };
  const identity =
    token === undefined && attest !== undefined
      ? await enrolByEvidence({ ...common, ...attest })
      : await enrol({ ...common, token: token?.reveal() ?? '' });
  const by = token === undefined ? attest?.source.kind : 'token';
  log.info({ spiffeId: `${identity.svid.spiffeId}`, by }, 'enrolled');
  return { identity, url: ca };
}

/** What somebody renewed or enrolled in the directory since. */
export async function takeOver(
  live: RotatingIdentity,
  directory: string | undefined,
): Promise<void> {
  if (directory === undefined) return;
  const found = await readIdentity(directory);
  if (found.svid.serialHex !== live.svid().serialHex) await live.renewNow();
}

/** A token is for the first start alone: later ones find the identity that it gave, unless that has expired. */
async function existingIdentity(
  { who, token, attest }: OwnIdentityOptions,
  directory: string,
  now: number,
): Promise<Identity | undefined> {
  try {
    const found = await readIdentity(directory);
    if (now > found.svid.notAfter) throw expired(who, directory, found.svid.notAfter);
    return found;
  } catch (thrown) {
    if (token === undefined && attest === undefined) throw thrown;
    return undefined;
  }
}

function expired(who: string, directory: string, notAfter: number): CountersignError {
  const ended = new Date(notAfter).toISOString();
  return new CountersignError(
    'ERR_IDENTITY_EXPIRED',
    `start ${who}: identity in "${directory}" expired at ${ended}`,
    { fields: { directory, notAfter } },
  );
}

function usage(who: string, reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `${who}: ${reason}`, {
    hint: `run \`countersign ${who} --help\``,
  });
}
