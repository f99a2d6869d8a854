import { CountersignError, type Log, Secret } from '@countersign/base';
import { openTpm, openTpmKey, type ProofKey, usualTpm } from '@countersign/identity';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { hintingProofKey } from './hinting-proof-key.ts';

/** `--proof-key` of commands that enrol or renew; {@link openProofKey} opens what it names. */
export function proofKeyOption(): Option {
  return new Option(
    '--proof-key <uri>',
    'key in hardware that signs enrolment and renewals: pkcs11:… (RFC 7512) or tpm:HANDLE',
  );
}

/** What an option names, and nothing where it is not given. */
export interface OpenedProofKey {
  readonly proofKey: { readonly proofKey: ProofKey } | undefined;
  close(): Promise<void>;
}

export const noProofKey: OpenedProofKey = { proofKey: undefined, close: async () => {} };

/** @throws CountersignError ERR_IDENTITY_PROOF_KEY, ERR_SIGNER_*, ERR_TPM_* */
export async function openProofKey(
  cli: Cli,
  uri: string | undefined,
  log: Log,
): Promise<OpenedProofKey> {
  if (uri === undefined) return noProofKey;
  const open = openers.find(([scheme]) => uri.startsWith(scheme))?.[1];
  if (open !== undefined) return await hintingProofKey(open(cli, uri, log));
  const known = openers.map(([scheme]) => `${scheme}…`).join(' or ');
  throw proofKeyError(`"${uri.slice(0, 80)}" is to begin with ${known}`);
}

const openers: readonly (readonly [
  scheme: string,
  open: (cli: Cli, uri: string, log: Log) => Promise<OpenedProofKey>,
])[] = [
  ['pkcs11:', openInToken],
  ['tpm:', openInTpm],
];

async function openInToken(cli: Cli, uri: string, log: Log): Promise<OpenedProofKey> {
  const { openKeyByUri } = await import('@countersign/ca/key-by-uri');
  const parts = { uri, secrets: secretPlaces(cli), clock: cli.clock, log };
  const { signer, close } = await openKeyByUri(parts);
  return { proofKey: { proofKey: signer }, close };
}

/** `tpm:0x81000001?device=/dev/tpmrm0&pin-source=file:/path`: the device is that of this machine, no PIN is the usual. */
async function openInTpm(cli: Cli, uri: string): Promise<OpenedProofKey> {
  const [, written = '', query = ''] = /^tpm:(0x81[0-9a-f]{6})(?:\?(.*))?$/i.exec(uri) ?? [];
  if (written === '') {
    throw proofKeyError('tpm: is followed by a persistent handle, such as tpm:0x81000001');
  }
  const parameters = new URLSearchParams(query);
  const stray = [...parameters.keys()].find((name) => name !== 'device' && name !== 'pin-source');
  if (stray !== undefined) {
    throw proofKeyError(`"${stray.slice(0, 40)}" is not understood, device and pin-source are`);
  }
  const source = parameters.get('pin-source');
  const password = source === null ? undefined : pinReader(cli, source);
  const { commands, close } = await openTpm(parameters.get('device') ?? usualTpm);
  try {
    const proofKey = await openTpmKey({ commands, handle: Number(written), password });
    return { proofKey: { proofKey }, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

function pinReader(cli: Cli, source: string): () => Promise<Secret<string>> {
  const [, variable] = /^env:([A-Za-z_]\w*)$/.exec(source) ?? [];
  const [, path] = /^(?:file:(?:\/\/)?)?(\/.*)$/.exec(source) ?? [];
  if (variable === undefined && path === undefined) {
    throw proofKeyError('"pin-source" is file:/absolute/path or env:NAME');
  }
  return async () => {
    const text =
      path === undefined
        ? cli.env[variable ?? '']
        : Buffer.from(await readInput(cli, path, 'read the PIN')).toString('utf8');
    if (text === undefined) throw proofKeyError(`variable "${variable}" is not set`);
    return new Secret(text.trimEnd());
  };
}

function proofKeyError(why: string): CountersignError {
  return new CountersignError('ERR_IDENTITY_PROOF_KEY', `--proof-key: ${why}`);
}
