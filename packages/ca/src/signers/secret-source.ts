import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf, Secret } from '@countersign/base';

/** Where a configuration says that a secret is; never the secret itself. */
export type SecretSource =
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'environment'; readonly variable: string }
  /** On the terminal, once for the life of the process. */
  | { readonly from: 'prompt' };

/** What the wiring lends: the environment, and a terminal where there is one. */
export interface SecretPlaces {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Asks without echo; absent where nobody could answer. */
  readonly prompt?: ((question: string) => Promise<Secret<string>>) | undefined;
}

/** Files alone. */
export const noSecretPlaces: SecretPlaces = { env: {} };

const longestBytes = 4096;

/**
 * A function that reads the secret: files and variables each time anew, a person once.
 *
 * @param what for messages and the question: `PIN of token "issuing"`
 */
export function secretReader(
  source: SecretSource,
  places: SecretPlaces,
  what: string,
): () => Promise<Secret<string>> {
  let told: Promise<Secret<string>> | undefined;
  return async () => {
    if (source.from !== 'prompt') return readSecret(source, places, what);
    told ??= ask(places, what).catch((thrown: unknown) => {
      told = undefined;
      throw thrown;
    });
    return told;
  };
}

/** For messages: where, not what. */
export function formatSecretSource(source: SecretSource): string {
  if (source.from === 'file') return `file "${source.path}"`;
  return source.from === 'prompt' ? 'the terminal' : `environment variable "${source.variable}"`;
}

async function readSecret(
  source: Exclude<SecretSource, { from: 'prompt' }>,
  { env }: SecretPlaces,
  what: string,
): Promise<Secret<string>> {
  const attempted = `read the ${what} from ${formatSecretSource(source)}`;
  const written =
    source.from === 'file' ? await readText(source.path, attempted) : env[source.variable];
  if (written === undefined) throw unreadable(`${attempted}: it is not set`);
  // White space at the end is a line break of the file, not of the secret.
  const text = written.trimEnd();
  if (text === '') throw unreadable(`${attempted}: it is empty`);
  if (Buffer.byteLength(text) > longestBytes) {
    throw unreadable(`${attempted}: it is longer than ${longestBytes} bytes`);
  }
  return new Secret(text);
}

async function ask({ prompt }: SecretPlaces, what: string): Promise<Secret<string>> {
  if (prompt !== undefined) return prompt(what);
  throw unreadable(`ask for the ${what}: there is no terminal to ask on`);
}

async function readText(path: string, attempted: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw unreadable(`${attempted}: ${messageOf(thrown)}`, thrown);
  }
}

function unreadable(message: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_SIGNER_SECRET', message, { cause });
}
