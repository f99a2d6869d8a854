import { randomInt } from 'node:crypto';
import type { EdgeChange } from '../ledger/edge/edge-records.ts';
import { accountOf } from './accounts.ts';
import type { AcmeContext } from './acme-context.ts';
import { challengeToken, orderedId } from './acme-ids.ts';
import {
  type Account,
  type Authorization,
  type Challenge,
  type ChallengeType,
  deviceChallenge,
  type Identifier,
  isDevice,
} from './acme-objects.ts';
import { type AcmeProblem, keptBody, problem } from './acme-problem.ts';
import type { AcmeAnswer, AcmeLinks, AcmeRequest } from './acme-request.ts';
import { creating, endOfAuthorization, keptAfterEndMs } from './acme-store.ts';
import { attestDevice } from './device/attest-device.ts';
import { retryAfter } from './order-view.ts';
import { isAtWork, validateInBackground } from './validate-challenge.ts';

type Answer = Promise<AcmeAnswer | AcmeProblem>;

interface Wanted {
  readonly value: Authorization;
  /** Undefined: it is there already. */
  readonly creates: EdgeChange | undefined;
}

/** One an identifier: one that is valid for a while yet, or a new one. */
export async function authorizationsFor(
  context: AcmeContext,
  account: Account,
  identifiers: readonly Identifier[],
): Promise<readonly Wanted[]> {
  return await Promise.all(
    identifiers.map(async (each): Promise<Wanted> => {
      const reusable = await validOne(context, account, each);
      if (reusable !== undefined) return { value: reusable, creates: undefined };
      const value = newAuthorization(context, account, each);
      const expiresAt = value.expiresAt + keptAfterEndMs;
      const owner = ownerOf(account, each);
      return {
        value,
        creates: creating('acme-authorization', value.id, value, { owner, expiresAt }),
      };
    }),
  );
}

/** RFC 8555 §7.5, §7.5.2: reads or deactivates. */
export async function authorization(context: AcmeContext, request: AcmeRequest): Answer {
  const found = await findAuthorization(context, request);
  if (!found.ok) return found;
  const { payload, links } = request;
  if (payload === undefined) {
    // Whoever asks keeps it going, should the process that looked at a challenge have died.
    const { account } = found.authorization;
    validateInBackground(context, found.authorization, links.account(account));
    return answerAuthorization(context, found.authorization, links);
  }
  if (payload.status !== 'deactivated') {
    return problem('malformed', '"status" may become "deactivated"');
  }
  const changed = await context.store.update(
    'acme-authorization',
    found.authorization.id,
    (present) =>
      present.status === 'pending' || present.status === 'valid'
        ? { ...present, status: 'deactivated', workingUntil: undefined }
        : undefined,
    endOfAuthorization,
  );
  return answerAuthorization(context, changed, links);
}

/** RFC 8555 §7.5.1: an object, even an empty one, says that the client is ready; nothing asks how it stands. */
export async function challenge(context: AcmeContext, request: AcmeRequest): Answer {
  const found = await findAuthorization(context, request);
  if (!found.ok) return found;
  const type = request.names[1] as ChallengeType;
  const asked = found.authorization.challenges.find((each) => each.type === type);
  if (asked === undefined) return problem('malformed', 'no such challenge', { status: 404 });
  const now = context.clock.now();
  let present = found.authorization;
  if (request.payload !== undefined && type === deviceChallenge) {
    if (present.expiresAt <= now) return problem('malformed', 'the authorization ended');
    const attested = await attestDevice(context, request, present);
    if (!attested.ok) return attested;
    present = attested.authorization;
  } else if (request.payload !== undefined) {
    // RFC 8555 §8.3: for these the response is an empty object
    if (context.config.trials.isStrict && Object.keys(request.payload).length > 0) {
      return problem('malformed', 'the response to this challenge is "{}", without members');
    }
    if (present.status !== 'pending' && present.status !== 'valid') {
      return problem('malformed', `the authorization is ${present.status}`);
    }
    if (present.status === 'pending' && present.expiresAt <= now) {
      return problem(
        'malformed',
        `the authorization ended at ${new Date(present.expiresAt).toISOString()}`,
      );
    }
    present = await context.store.update(
      'acme-authorization',
      present.id,
      (each) => begun(each, type),
      endOfAuthorization,
    );
  }
  const { links } = request;
  validateInBackground(context, present, links.account(present.account));
  const shown = present.challenges.find((each) => each.type === type) ?? asked;
  return {
    ok: true,
    status: 200,
    link: [`<${links.authorization(present.id)}>;rel="up"`],
    headers: isAtWork(present) ? retryAfter(context.config.retryAfter.authorization) : {},
    body: challengeBody(present, shown, links),
  };
}

async function findAuthorization(
  { store }: AcmeContext,
  request: AcmeRequest,
): Promise<{ readonly ok: true; readonly authorization: Authorization } | AcmeProblem> {
  const found = await store.find('acme-authorization', request.names[0] ?? '');
  if (found === undefined) return problem('malformed', 'no such authorization', { status: 404 });
  if (found.value.account !== accountOf(request).id) {
    return problem('unauthorized', 'the authorization is of another account');
  }
  return { ok: true, authorization: found.value };
}

/** One challenge is tried at a time: what is being looked at is waited for. */
function begun(present: Authorization, type: ChallengeType): Authorization | undefined {
  const isBusy = present.challenges.some((each) => each.status === 'processing');
  if (present.status !== 'pending' || isBusy) return undefined;
  return {
    ...present,
    challenges: present.challenges.map((each) =>
      each.type === type && each.status === 'pending' ? { ...each, status: 'processing' } : each,
    ),
  };
}

function answerAuthorization(
  { clock, config }: AcmeContext,
  authorization: Authorization,
  links: AcmeLinks,
): AcmeAnswer {
  const { identifier, wildcard, status, expiresAt, challenges } = authorization;
  const now = clock.now();
  const isOver = expiresAt <= now && (status === 'pending' || status === 'valid');
  return {
    ok: true,
    status: 200,
    headers: isAtWork(authorization) ? retryAfter(config.retryAfter.authorization) : {},
    body: {
      identifier,
      status: isOver ? 'expired' : status,
      expires: new Date(expiresAt).toISOString(),
      // RFC 8555 §7.1.4: of one that is valid, the challenge that made it so
      challenges: challenges
        .filter((each) => status !== 'valid' || each.status === 'valid')
        .map((each) => challengeBody(authorization, each, links)),
      ...(wildcard && { wildcard: true }),
    },
  };
}

function challengeBody({ id }: Authorization, each: Challenge, links: AcmeLinks): object {
  const { type, status, token, validatedAt, error } = each;
  return {
    type,
    url: links.challenge(id, type),
    status,
    token,
    ...(validatedAt !== undefined && { validated: new Date(validatedAt).toISOString() }),
    ...(error !== undefined && { error: keptBody(error) }),
  };
}

function newAuthorization(
  { config, clock }: AcmeContext,
  account: Account,
  { type, value }: Identifier,
): Authorization {
  const now = clock.now();
  const wildcard = value.startsWith('*.');
  const token = challengeToken();
  return {
    id: orderedId(now),
    account: account.id,
    identifier: { type, value: wildcard ? value.slice(2) : value },
    wildcard,
    status: 'pending',
    expiresAt: now + config.authorizationMs,
    challenges: challengesFor(type, config)
      .filter((each) => isFor(each, type, wildcard))
      .map((each) => ({
        type: each,
        status: 'pending',
        token,
        validatedAt: undefined,
        error: undefined,
      })),
    workingUntil: undefined,
  };
}

function challengesFor(
  type: Identifier['type'],
  { challenges }: AcmeContext['config'],
): readonly ChallengeType[] {
  return isDevice({ type, value: '' }) ? [deviceChallenge] : challenges;
}

/** RFC 8555 §8.3, §8.4: a wildcard by DNS alone; RFC 8738 §7: an address never by DNS. */
function isFor(challenge: ChallengeType, type: Identifier['type'], wildcard: boolean): boolean {
  const isByDns = challenge === 'dns-01' || challenge === 'dns-account-01';
  return type === 'ip' ? !isByDns : isByDns || !wildcard;
}

async function validOne(
  { store, config, clock }: AcmeContext,
  account: Account,
  identifier: Identifier,
): Promise<Authorization | undefined> {
  // What was attested is one key: another is attested anew.
  if (isDevice(identifier) || randomInt(100) >= config.reusePercent) return undefined;
  const found = await store.of('acme-authorization', ownerOf(account, identifier), { limit: 100 });
  const soon = clock.now() + config.orderMs / 24;
  return found.findLast(({ value }) => value.status === 'valid' && value.expiresAt > soon)?.value;
}

function ownerOf({ id }: Account, { type, value }: Identifier): string {
  return `${id} ${type}:${value}`;
}
