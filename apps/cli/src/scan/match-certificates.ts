import { certificatesOfKey } from '@countersign/ca';
import type { CertificateOfKey } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { asOperator } from '../state/open-state.ts';
import type { StateOptions } from '../state/state-options.ts';

/** The certificates that the authority issued for each of these keys, newest first, at most 100 a key. */
export async function matchCertificates(
  cli: Cli,
  options: StateOptions,
  hashes: readonly string[],
): Promise<ReadonlyMap<string, readonly CertificateOfKey[]>> {
  if (hashes.length === 0) return new Map();
  return asOperator(cli, options, {
    server: (client) => eachOf(hashes, (key) => client.certificatesOf(key)),
    state: ({ ledger }) => eachOf(hashes, (key) => certificatesOfKey(ledger, key)),
  });
}

async function eachOf<T>(
  hashes: readonly string[],
  find: (hash: string) => Promise<T>,
): Promise<ReadonlyMap<string, T>> {
  const found = new Map<string, T>();
  for (const each of hashes) found.set(each, await find(each));
  return found;
}
