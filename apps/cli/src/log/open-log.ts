import { join } from 'node:path';
import { CountersignError, errorOfDenial } from '@countersign/base';
import { keyPath, logDirectory, sourceOfFiles } from '@countersign/ca';
import { authorityClient, learnRoot, parseAuthorityUrl, readIdentity } from '@countersign/identity';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import {
  type AuthorityClient,
  type Checkpoint,
  type LogSource,
  logOfClient,
  type NoteKey,
  openCheckpoint,
  parseFingerprint,
  parseNoteKey,
} from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import type { LogOptions } from './log-options.ts';

export interface OpenedLog {
  readonly source: LogSource;
  readonly key: NoteKey;
  /** Where it is an authority that answers. */
  readonly client?: AuthorityClient;
}

/** @throws CountersignError ERR_USAGE, ERR_LOG_MISSING, ERR_LOG_KEY, and of whoever is asked */
export async function openLog(
  cli: Cli,
  options: LogOptions,
  attempted: string,
): Promise<OpenedLog> {
  const { data, ca, identity, fingerprint } = options;
  if (data === undefined) {
    const client = await clientOf(cli, options, attempted);
    const key = await keyOf(cli, options, attempted, () => client.logKey());
    return { source: logOfClient(client), key, client };
  }
  if (ca !== undefined || identity !== undefined || fingerprint !== undefined) {
    throw usage(attempted, 'either --data, or --ca, says which log');
  }
  const directory = join(data, 'log');
  const files = logDirectory(directory);
  const key = await keyOf(cli, options, attempted, async () => {
    const text = await files.read(keyPath);
    if (text !== undefined) return new TextDecoder().decode(text);
    throw new CountersignError('ERR_LOG_MISSING', `${attempted}: "${directory}" holds no log`);
  });
  return { source: sourceOfFiles(files, directory), key };
}

/** Its newest checkpoint, signed by its key. */
export async function headOf({ source, key }: OpenedLog, attempted: string): Promise<Checkpoint> {
  return checkpointOf(await source.checkpoint(), key, attempted);
}

export function checkpointOf(note: string, key: NoteKey, attempted: string): Checkpoint {
  const head = openCheckpoint(note, key);
  if (head.ok) return head;
  throw errorOfDenial(head, attempted);
}

export async function readCheckpoint(
  cli: Cli,
  file: string,
  key: NoteKey,
  attempted: string,
): Promise<Checkpoint> {
  return checkpointOf(textOf(await readInput(cli, file, attempted)), key, attempted);
}

/** `--key` as it is written, or else what `ask` answers. */
export async function keyOf(
  cli: Cli,
  { key }: Pick<LogOptions, 'key'>,
  attempted: string,
  ask: () => Promise<string>,
): Promise<NoteKey> {
  if (key === undefined) return parseNoteKey(await ask());
  if (!key.startsWith('@')) return parseNoteKey(key);
  return parseNoteKey(textOf(await readInput(cli, key.slice(1), attempted)));
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

export function usage(attempted: string, reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `${attempted}: ${reason}`, {
    hint: `run \`countersign ${attempted} --help\``,
  });
}

async function clientOf(
  cli: Cli,
  { ca, identity, fingerprint }: LogOptions,
  attempted: string,
): Promise<AuthorityClient> {
  const { clock } = cli;
  if (identity !== undefined) {
    const { svid, bundle, ca: known } = await readIdentity(identity);
    const url = ca ?? known;
    if (url === undefined) {
      throw usage(attempted, '--ca is missing, and identity.json names no authority');
    }
    const { trustDomain } = bundle;
    const [svids, bundles] = [staticSvid(svid), staticBundles(bundle)];
    return authorityClient({ url, svids, bundles, trustDomain, clock });
  }
  if (ca === undefined) throw usage(attempted, 'either --data, or --ca, says which log');
  if (fingerprint === undefined) {
    throw usage(
      attempted,
      '--ca needs --identity or --fingerprint: by what the authority is known',
    );
  }
  const address = parseAuthorityUrl(ca);
  const pin = parseFingerprint(fingerprint);
  const root = await learnRoot({ address, fingerprint: pin, timeoutMs: 15_000 });
  const authorities = [root];
  const bundles = {
    bundle: (trustDomain: string) => ({ trustDomain, authorities }),
    authorities: () => authorities,
  };
  return authorityClient({ url: address.origin, bundles, clock });
}
