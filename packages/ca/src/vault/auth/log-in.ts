import type { Denial } from '@countersign/base';
import { mustWait } from '../judge-access.ts';
import { unknownPolicies } from '../policies.ts';
import type { VaultAnswer, VaultCall } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import type { Values } from '../vault-fields.ts';
import type { AuthRecord } from '../vault-objects.ts';
import { refusal, type VaultRefusal } from '../vault-refusal.ts';
import { orderByRole } from './token-fields.ts';
import { authOf } from './token-views.ts';

/** What a login has found proved: who it is, and by which role it may come. */
export interface Proved {
  readonly ok: true;
  readonly role: Values;
  /** In the ledger and to policy rules, behind the path of the login: `ns/sa`, `web`. */
  readonly who: string;
  readonly meta: Readonly<Record<string, string>>;
}

/** A refusal that says a credential was wrong: it counts against the address. */
export interface WrongCredential extends VaultRefusal {
  readonly isGuess: true;
}

/** `operator` has the detail, which the client is not told. */
export function wrongCredential(
  told: string,
  operator: string | Denial,
  status = 400,
): WrongCredential {
  const detail = typeof operator === 'string' ? operator : operator.detail;
  return { ...refusal('ERR_VAULT_LOGIN', status, told, { operator: detail }), isGuess: true };
}

/** One login from its bound to its token: too many that fail are not looked at. */
export async function logIn(
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  prove: () => Promise<Proved | VaultRefusal>,
): Promise<VaultAnswer | VaultRefusal> {
  const { tokens, guesses, log } = context;
  const waited = mustWait(context, call.from);
  if (waited !== undefined) return waited;
  const proved = await prove();
  if (!proved.ok) {
    if ('isGuess' in proved) guesses.failed(call.from);
    return proved;
  }
  const { role, who, meta } = proved;
  const displayName = `${method.path}-${who}`.replaceAll(/[^A-Za-z0-9.-]/g, '-').slice(0, 128);
  const order = orderByRole(role, {
    displayName,
    who: `${method.path}/${who}`.slice(0, 200),
    meta,
    path: call.path,
  });
  const made = await tokens.create(order);
  const { accessor, policies } = made.record;
  log.info({ auth: method.path, who, accessor, from: call.from }, 'vault login');
  const warnings = [...made.warnings, ...(await unknownPolicies(context.policies, policies))];
  return { ok: true, warnings, auth: authOf(made) };
}
