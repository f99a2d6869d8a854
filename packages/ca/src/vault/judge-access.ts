import { Secret } from '@countersign/base';
import { capabilitiesAt } from './access.ts';
import { isWithin } from './networks.ts';
import type { Capability } from './policy-document.ts';
import { isRoot } from './tokens.ts';
import type { Operation, VaultCaller } from './vault-call.ts';
import type { VaultContext } from './vault-context.ts';
import { notEntitled, permissionDenied, refusal, type VaultRefusal } from './vault-refusal.ts';
import type { Target } from './vault-target.ts';

/** Whose token it is; the same words whatever is wrong with it. */
export async function callerOf(
  context: VaultContext,
  token: string | undefined,
  from: string,
): Promise<{ readonly ok: true; readonly caller: VaultCaller } | VaultRefusal> {
  if (token === undefined) return permissionDenied('no token is given');
  if (token.length > 4096) return permissionDenied('the token has more than 4096 characters');
  const record = await context.tokens.use(token);
  if (record === undefined) {
    const waited = mustWait(context, from);
    if (waited !== undefined) return waited;
    context.guesses.failed(from);
    return permissionDenied('the token is unknown, over, or revoked');
  }
  if (!isWithin(record.boundCidrs, from)) {
    const sides = `comes from ${from}, it is bound to ${record.boundCidrs.join(', ')}`;
    return permissionDenied(`the token of "${record.who}" ${sides}`);
  }
  const secret = new Secret(token);
  return { ok: true, caller: { token: record, secret, isRoot: isRoot(record) } };
}

/** 429 where too many tries of an address failed. */
export function mustWait({ guesses }: VaultContext, from: string): VaultRefusal | undefined {
  const waitMs = guesses.waitMs(from);
  if (waitMs <= 0) return undefined;
  const seconds = String(Math.ceil(waitMs / 1000));
  return refusal('ERR_VAULT_RATE', 429, 'too many failed logins, try again later', {
    operator: `too many failed logins from "${from}", again in ${seconds} s`,
    headers: { 'retry-after': seconds },
  });
}

/** Why its policies do not let a caller do that at a path; undefined where they do. */
export async function judgeAccess(
  { policies }: VaultContext,
  caller: VaultCaller,
  asked: { readonly path: string; readonly operation: Operation; readonly target: Target },
): Promise<VaultRefusal | undefined> {
  if (caller.isRoot || asked.target.found?.route.free === true) return undefined;
  const { operation, target } = asked;
  const rules = await policies.rulesOf(caller.token.policies);
  // A list is asked for by its path with a slash, or without: both are written in policies.
  const paths = operation === 'list' ? [`${asked.path}/`, asked.path] : [asked.path];
  const given = paths.map((path) => capabilitiesAt(rules, path)).find((each) => each.size > 0);
  const wanted: readonly Capability[] = wantedFor(operation, target);
  const isGiven = given !== undefined && wanted.some((each) => given.has(each));
  const needsSudo = target.found?.route.sudo?.includes(operation) === true;
  if (isGiven && (!needsSudo || given.has('sudo'))) return undefined;
  const names = caller.token.policies.join('", "');
  const lacking = isGiven ? 'sudo' : wanted.join('" or "');
  const sides = `"${lacking}" at "${asked.path.slice(0, 200)}" is let by none of the policies "${names}"`;
  return notEntitled(`${sides} of "${caller.token.who}"`);
}

function wantedFor(operation: Operation, { found }: Target): readonly Capability[] {
  if (operation === 'update') {
    return found?.route.creates === true ? ['update', 'create'] : ['update'];
  }
  return [operation];
}
