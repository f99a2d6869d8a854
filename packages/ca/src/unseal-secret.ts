import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { CountersignError, type Log, Secret, writeFileDurably } from '@countersign/base';
import { createSealer, keyFileScrypt, passphraseScrypt, type Sealer } from './sealed-key.ts';

/** Told apart from a passphrase file that somebody points at by mistake. */
const prefix = 'countersign-unseal-1:';

/** A new key file: 32 random bytes, mode 0600. The caller names it to the operator; whoever has it has the keys. */
export async function createKeyFile(path: string): Promise<Sealer> {
  const text = `${prefix}${randomBytes(32).toString('base64url')}\n`;
  await writeFileDurably(path, text, { mode: 0o600 });
  return sealerOfKeyFile(text);
}

/** @throws CountersignError ERR_KEY_FILE where it is missing, unreadable or of another form */
export async function openKeyFile(path: string, log: Log): Promise<Sealer> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw new CountersignError('ERR_KEY_FILE', `read the key file "${path}" that opens the keys`, {
      fields: { path },
      cause: thrown,
    });
  });
  if (!new RegExp(`^${prefix}[A-Za-z0-9_-]{43}$`).test(text.trim())) {
    throw new CountersignError('ERR_KEY_FILE', `key file "${path}" is not one that init made`, {
      fields: { path },
    });
  }
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    const found = (mode & 0o777).toString(8);
    log.warn({ path, mode: found }, 'key file can be read by others than its owner, 0600 is right');
  }
  return sealerOfKeyFile(text);
}

/** @throws CountersignError ERR_KEY_SEALED for an empty one */
export function sealerOfPassphrase(passphrase: Secret<string>): Sealer {
  const text = passphrase.reveal().normalize('NFC');
  if (text === '') throw new CountersignError('ERR_KEY_SEALED', 'the passphrase given is empty');
  return createSealer(new Secret(new TextEncoder().encode(text)), passphraseScrypt);
}

function sealerOfKeyFile(text: string): Sealer {
  return createSealer(new Secret(new TextEncoder().encode(text.trim())), keyFileScrypt);
}
