import { CountersignError, counted, errorOfDenial } from '@countersign/base';
import {
  type Checkpoint,
  consistencyRanges,
  findLeaf,
  formatLogProof,
  inclusionRanges,
  type LogProof,
  leafHash,
  nodeReader,
  proofHashes,
  verifyGrown,
  verifyInclusion,
} from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { addLogOptions, type LogOptions } from '../log/log-options.ts';
import { entriesBackward, plainSerial, readEntry } from '../log/logged-certificate.ts';
import { headOf, type OpenedLog, openLog, readCheckpoint, usage } from '../log/open-log.ts';
import { readCertificates } from '../read-certificates.ts';
import type { Verb } from '../verb.ts';

interface LogProveOptions extends LogOptions {
  readonly serial?: string;
  readonly from?: string;
  readonly to?: string;
}

const attempted = 'log prove';

/** `countersign log prove`: a proof that stands by itself, made from tiles alone. */
export const logProveVerb: Verb = {
  define(command, cli) {
    addLogOptions(command)
      .argument('[certificate]', 'prove that this one is in the log: PEM (leaf first), DER or "-"')
      .option('--serial <hex>', 'or the one with this serial')
      .option('--from <file>', 'or that the log continues this checkpoint')
      .option('--to <file>', 'up to this checkpoint; the newest unless given')
      .addHelpText('after', help)
      .action((certificate: string | undefined, options: LogProveOptions) =>
        prove(cli, certificate, options),
      );
  },
};

const help = `
Prints the proof as JSON, for \`countersign log verify --proof\`. It was verified before it is printed.

Example:
  countersign log prove --data state payments/cert.pem > proof.json
  countersign log prove --data state --from checkpoint.old > grown.json`;

async function prove(
  cli: Cli,
  certificate: string | undefined,
  options: LogProveOptions,
): Promise<void> {
  const { serial, from, to } = options;
  const asked = [certificate, serial, from].filter((each) => each !== undefined).length;
  if (asked !== 1) {
    throw usage(attempted, `one of a certificate, --serial, --from is needed, ${asked} are given`);
  }
  const log = await openLog(cli, options, attempted);
  const head =
    to === undefined
      ? await headOf(log, attempted)
      : await readCheckpoint(cli, to, log.key, attempted);
  const proof =
    from === undefined
      ? await proveInclusion(cli, log, head, { certificate, serial })
      : await proveGrowth(log, await readCheckpoint(cli, from, log.key, attempted), head);
  await cli.out(formatLogProof(proof));
}

async function proveInclusion(
  cli: Cli,
  { source }: OpenedLog,
  head: Checkpoint,
  wanted: { readonly certificate: string | undefined; readonly serial: string | undefined },
): Promise<LogProof> {
  const { size, note } = head;
  const { certificate, serial } = wanted;
  let found: { readonly index: number; readonly entry: Uint8Array } | undefined;
  if (certificate !== undefined) {
    const [leaf] = await readCertificates(cli, certificate, attempted);
    const entry = leaf?.raw ?? new Uint8Array();
    const index = await findLeaf(source, entry, size);
    found = index === undefined ? undefined : { index, entry };
  } else {
    const plain = plainSerial(serial ?? '');
    for await (const each of entriesBackward(source, size)) {
      const read = readEntry(each.index, each.entry);
      if (!('serial' in read) || read.serial !== plain) continue;
      found = each;
      break;
    }
  }
  if (found === undefined) {
    const what = certificate === undefined ? `serial "${serial}"` : `"${certificate}"`;
    const message = `${attempted}: ${what} is not among the ${counted(size, 'entry', 'entries')} of "${head.origin}"`;
    throw new CountersignError('ERR_LOG_ENTRY_UNKNOWN', message);
  }
  const { index, entry } = found;
  const hashes = await proofHashes(inclusionRanges(index, size), nodeReader(source, size));
  const proved = verifyInclusion({ index, hash: leafHash(entry) }, hashes, head);
  if (!proved.ok) throw errorOfDenial(proved, `${attempted}: the tiles do not prove it`);
  return { kind: 'inclusion', index, hashes, checkpoint: note };
}

async function proveGrowth(log: OpenedLog, from: Checkpoint, to: Checkpoint): Promise<LogProof> {
  if (from.size > to.size) {
    throw usage(
      attempted,
      `--from is of ${counted(from.size, 'entry', 'entries')}, --to of ${to.size}`,
    );
  }
  const read = nodeReader(log.source, to.size);
  const hashes = await proofHashes(consistencyRanges(from.size, to.size), read);
  const proof: LogProof = {
    kind: 'consistency',
    from: from.note,
    checkpoint: to.note,
    hashes,
  };
  const proved = verifyGrown(proof, log.key);
  if (!proved.ok) throw errorOfDenial(proved, attempted);
  return proof;
}
