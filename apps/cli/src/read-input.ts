import { open } from 'node:fs/promises';
import { CountersignError, concatBytes, messageOf } from '@countersign/base';
import type { Cli } from './cli.ts';

const maxBytes = 32 * 1024 * 1024;

/**
 * The bytes of a file, or of standard input for `-`; at most 32 MiB.
 *
 * @param attempted what the command was doing, in front of the reason: `verify`
 * @throws CountersignError ERR_FILE, ERR_CLI_INPUT_TOO_LARGE
 */
export async function readInput(cli: Cli, source: string, attempted: string): Promise<Uint8Array> {
  return source === '-' ? readBounded(cli.stdin, source, attempted) : readFile(source, attempted);
}

/** How messages name an input. */
export function inputName(source: string): string {
  return source === '-' ? 'standard input' : `"${source}"`;
}

/** Counted as it is read: what is no plain file does not say its size, and may have no end. */
async function readBounded(
  stream: AsyncIterable<Uint8Array>,
  source: string,
  attempted: string,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(inputName(source), attempted);
    chunks.push(chunk);
  }
  return concatBytes(...chunks);
}

async function readFile(path: string, attempted: string): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r');
    try {
      return await readBounded(file.createReadStream({ autoClose: false }), path, attempted);
    } finally {
      await file.close();
    }
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    throw new CountersignError(
      'ERR_FILE',
      `${attempted}: cannot read ${inputName(path)}: ${reasonOf(thrown)}`,
      { fields: { path }, cause: thrown },
    );
  }
}

function tooLarge(what: string, attempted: string): CountersignError {
  return new CountersignError(
    'ERR_CLI_INPUT_TOO_LARGE',
    `${attempted}: ${what} is larger than the limit of ${maxBytes} bytes`,
  );
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
};

function reasonOf(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  return reasons[code] ?? messageOf(thrown);
}
