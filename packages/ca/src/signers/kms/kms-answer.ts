import { CountersignError } from '@countersign/base';
import type { KeyStoreHealth } from '../key-store.ts';

/** The members of an answer, whatever it is. */
export function membersOf(json: unknown): Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
}

export function incompleteAnswer(what: string, missing: string): CountersignError {
  const message = `${what}: the answer has no ${missing}`;
  return new CountersignError('ERR_SIGNER_KMS_UNREACHABLE', message);
}

/** Found out by asking for the public key of a key in use, which needs no permission beyond those of every day. */
export async function healthBy(
  title: string,
  keysInUse: ReadonlySet<string>,
  ask: (key: string) => Promise<unknown>,
): Promise<KeyStoreHealth> {
  const [key] = keysInUse;
  if (key === undefined) return { ok: true, detail: `${title}, no key in use yet` };
  try {
    await ask(key);
    return { ok: true, detail: `${title}, ${keysInUse.size} keys in use` };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const { code, message: detail, fields } = thrown;
    return { ok: false, code, detail, fields };
  }
}
