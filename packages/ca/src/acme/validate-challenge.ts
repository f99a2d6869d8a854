import { messageOf } from '@countersign/base';
import type { AcmeContext } from './acme-context.ts';
import {
  type Authorization,
  type Challenge,
  deviceChallenge,
  formatIdentifier,
} from './acme-objects.ts';
import type { KeptProblem } from './acme-problem.ts';
import { endOfAuthorization } from './acme-store.ts';

/** For so long another process leaves a challenge to the one that began to look. */
const leaseMs = 60_000;

export function isAtWork({ challenges, status }: Authorization): boolean {
  return status === 'pending' && challenges.some((each) => each.status === 'processing');
}

/**
 * Looks at the challenge that its client is ready for, unless a process is at it. What it finds is kept.
 *
 * @param account its address, as the client that asks knows it
 */
export function validateInBackground(
  context: AcmeContext,
  authorization: Authorization,
  account: string,
): void {
  const now = context.clock.now();
  if (!isAtWork(authorization) || (authorization.workingUntil ?? 0) > now) return;
  context.inBackground(
    validate(context, authorization.id, account).catch((thrown: unknown) => {
      if (context.signal.aborted) return;
      context.log.error(
        { authorization: authorization.id, error: messageOf(thrown) },
        'acme validation failed',
      );
    }),
  );
}

async function validate(context: AcmeContext, id: string, account: string): Promise<void> {
  const { store, clock, validators, log } = context;
  // 1. It is this process's now, for a while.
  const until = clock.now() + leaseMs;
  const taken = await store.update(
    'acme-authorization',
    id,
    (present) =>
      isAtWork(present) && (present.workingUntil ?? 0) <= clock.now()
        ? { ...present, workingUntil: until }
        : undefined,
    endOfAuthorization,
  );
  if (taken.workingUntil !== until) return;
  const asked = taken.challenges.find((each) => each.status === 'processing');
  if (asked === undefined || asked.type === deviceChallenge) return;

  // 2. What is found there.
  const { value: owner } = await store.mustFind('acme-account', taken.account);
  const found = await validators.validate(
    {
      type: asked.type,
      identifier: taken.identifier,
      token: asked.token,
      keyAuthorization: `${asked.token}.${owner.thumbprint}`,
      account,
    },
    context.signal,
  );

  // 3. Kept, unless the client has deactivated it meanwhile.
  const decided = await store.update(
    'acme-authorization',
    id,
    (present) =>
      present.workingUntil === until ? judged(present, asked, found, clock.now()) : undefined,
    endOfAuthorization,
  );
  const shown = {
    authorization: id,
    identifier: formatIdentifier(taken.identifier),
    challenge: asked.type,
  };
  if (found === undefined) log.info({ ...shown, status: decided.status }, 'acme challenge met');
  else log.warn({ ...shown, type: found.type, detail: found.detail }, 'acme challenge not met');
}

/** RFC 8555 §7.1.6: one that fails ends its authorization. */
function judged(
  present: Authorization,
  asked: Challenge,
  error: KeptProblem | undefined,
  now: number,
): Authorization {
  const verdict: Challenge =
    error === undefined
      ? { ...asked, status: 'valid', validatedAt: now, error: undefined }
      : { ...asked, status: 'invalid', error };
  return {
    ...present,
    status:
      present.status === 'pending' ? (error === undefined ? 'valid' : 'invalid') : present.status,
    challenges: present.challenges.map((each) => (each.type === asked.type ? verdict : each)),
    workingUntil: undefined,
  };
}
