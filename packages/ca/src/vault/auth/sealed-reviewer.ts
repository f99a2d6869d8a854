import { hash } from 'node:crypto';
import { Secret } from '@countersign/base';
import type { Authority } from '../../authority.ts';
import { parseSealedKey } from '../../sealed-key.ts';
import { get, type Values } from '../vault-fields.ts';
import { unsupported, type VaultRefusal } from '../vault-refusal.ts';

const name = 'vault token reviewer';
/** What stands in the place of a public key: it is none. */
const purpose = hash('sha256', name);

/** A configuration whose reviewer's credential is sealed as keys are: the ledger has it in no other form. */
export async function withReviewerSealed(
  { doors }: Authority,
  values: Values,
): Promise<{ readonly ok: true; readonly values: Values } | VaultRefusal> {
  const { token_reviewer_jwt: _, ...rest } = values;
  const jwt = get.text(values, 'token_reviewer_jwt');
  if (jwt === '') return { ok: true, values: rest };
  if (doors.sealer === undefined) {
    return unsupported('token_reviewer_jwt', 'no key is in a file here, so nothing can be sealed');
  }
  const sealed = await doors.sealer.seal(name, purpose, new Secret(new TextEncoder().encode(jwt)));
  return { ok: true, values: { ...rest, sealed_reviewer: JSON.stringify(sealed) } };
}

/** @throws CountersignError ERR_KEY_SEALED, ERR_KEY_FILE */
export async function reviewerIn(
  { doors }: Authority,
  config: Values,
): Promise<string | undefined> {
  const text = get.text(config, 'sealed_reviewer');
  if (text === '' || doors.sealer === undefined) return undefined;
  const opened = await doors.sealer.unseal(parseSealedKey(text, name));
  return new TextDecoder().decode(opened.reveal());
}

/** As it is shown: whether there is one. */
export function reviewerView(config: Values): Values {
  const { sealed_reviewer: sealed, ...rest } = config;
  return { ...rest, token_reviewer_jwt_set: sealed !== undefined };
}
