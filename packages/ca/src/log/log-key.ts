import { readFile } from 'node:fs/promises';
import { CountersignError, type Log, messageOf, writeFileDurably } from '@countersign/base';
import { type NoteKey, noteKeyOf } from '@countersign/wire';
import type { Signer } from '@countersign/x509';
import type { Sealer } from '../sealed-key.ts';
import { formatKeyDescription, parseKeyDescription } from '../signers/key-reference.ts';
import { sealedFileStore } from '../signers/sealed-file-store.ts';
import type { StateLayout } from '../state-layout.ts';
import { createKeyFile, openKeyFile } from '../unseal-secret.ts';

/** What a log signs its checkpoints with, and is known by. */
export interface LogKey {
  readonly key: NoteKey;
  readonly signer: Signer;
}

/** Among the keys of the hierarchy; no intermediate can have it, for their names begin with a letter. */
const keyName = '(issuance log)';

/**
 * A new log key, sealed with what seals the keys of the hierarchy; where these are all in tokens, with a key file of its
 * own. Tokens are not asked: few of them have Ed25519, and a checkpoint a second would keep them from their work.
 */
export async function createLogKey(layout: StateLayout, sealer: Sealer | undefined): Promise<void> {
  const store = sealedFileStore(sealer ?? (await createKeyFile(layout.logUnsealKey)));
  const description = await store.generate({ type: 'Ed25519' }, keyName);
  await writeFileDurably(layout.logKey, formatKeyDescription(description), { mode: 0o600 });
}

/**
 * The log key of a data directory; one is made where a state from before the log has none. A log's origin is its trust
 * domain and the beginning of its key's SHA-256: another key is another log.
 *
 * @throws CountersignError ERR_KEY_FILE, ERR_KEY_SEALED, ERR_STATE_BROKEN
 */
export async function openLogKey(
  layout: StateLayout,
  trustDomain: string,
  sealer: Sealer | undefined,
  log: Log,
): Promise<LogKey> {
  const { logKey: file } = layout;
  if ((await textOf(file)) === undefined) await createLogKey(layout, sealer);
  const description = parseKeyDescription((await textOf(file)) ?? '', file);
  if (description.name !== keyName) {
    const sides = `is of "${description.name}", the log's is called "${keyName}"`;
    throw new CountersignError('ERR_STATE_BROKEN', `key in "${file}" ${sides}`);
  }
  const store = sealedFileStore(sealer ?? (await openKeyFile(layout.logUnsealKey, log)));
  const signer = await store.open(description);
  const origin = `${trustDomain}/log/${description.publicKey.slice(0, 8)}`;
  return { key: noteKeyOf(origin, signer.spki), signer };
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError('ERR_KEY_FILE', `read the log key "${file}": ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}
