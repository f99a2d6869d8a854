import { CountersignError, counted, type Denial, denial, equalBytes } from '@countersign/base';
import {
  type Checkpoint,
  type LogProof,
  parseJsonBody,
  parseLogProof,
  verifyGrown,
  verifyLog,
  verifyLogged,
} from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { addLogOptions, type LogOptions } from '../log/log-options.ts';
import {
  checkpointOf,
  headOf,
  keyOf,
  type OpenedLog,
  openLog,
  readCheckpoint,
  usage,
} from '../log/open-log.ts';
import { readCertificates } from '../read-certificates.ts';
import { readInput } from '../read-input.ts';
import { failureOfDenial, reportFailure } from '../report-error.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface LogVerifyOptions extends LogOptions {
  readonly proof?: string;
  readonly checkpoint?: string[];
}

const attempted = 'log verify';

/** `countersign log verify`: a proof by itself, offline; or a whole log, naming what does not belong. */
export const logVerifyVerb: Verb = {
  define(command, cli) {
    addLogOptions(command)
      .argument('[certificate]', 'with --proof: the certificate that it is for')
      .option('--proof <file>', 'verify this proof alone, with --key; nobody is asked')
      .addOption(
        listOption(
          '--checkpoint <file>',
          'with --proof, the one that it has to lead to; else earlier ones that the log must continue',
        ),
      )
      .addHelpText('after', help)
      .action((certificate: string | undefined, options: LogVerifyOptions) =>
        options.proof === undefined
          ? verifyWhole(cli, certificate, options)
          : verifyProof(cli, certificate, options.proof, options),
      );
  },
};

const help = `
Example:
  countersign log verify --key @payments/log.pub --proof payments/proof.json payments/cert.pem
  countersign log verify --data state --checkpoint checkpoint.of-last-month`;

async function verifyProof(
  cli: Cli,
  certificate: string | undefined,
  file: string,
  options: LogVerifyOptions,
): Promise<void> {
  const { data, ca, identity, fingerprint, checkpoint = [] } = options;
  if ([data, ca, identity, fingerprint].some((each) => each !== undefined)) {
    throw usage(attempted, '--proof is verified by itself: give --key, not --data or --ca');
  }
  const key = await keyOf(cli, options, attempted, async () => {
    throw usage(attempted, '--proof needs --key: whose signature is to be on the checkpoint');
  });
  const bytes = await readInput(cli, file, attempted);
  const proof = proofIn(bytes, file);
  // 1. the checkpoint that the proof leads to is the one that is asked for
  const head = checkpointOf(proof.checkpoint, key, attempted);
  for (const each of checkpoint) {
    const wanted = await readCheckpoint(cli, each, key, attempted);
    const other = otherHead(head, wanted, each);
    if (other !== undefined) return refuse(cli, options, [other]);
  }
  // 2. the proof leads there
  const proved = await judge(cli, certificate, proof, key);
  if (!proved.ok) return refuse(cli, options, [proved]);
  await tell(cli, options, head, proof.kind === 'inclusion' ? `, leaf ${proof.index}` : '');
}

function proofIn(bytes: Uint8Array, file: string): LogProof {
  try {
    return parseLogProof(parseJsonBody(bytes, `"${file}"`, 256 * 1024));
  } catch (thrown) {
    if (!(thrown instanceof CountersignError) || thrown.code !== 'ERR_WIRE_JSON') throw thrown;
    const message = `${attempted}: "${file}" holds no proof, it is not JSON`;
    throw new CountersignError('ERR_CLI_INPUT_KIND', message, {
      hint: 'give the proof.json that --log-proof writes, or what `countersign log prove` prints',
      cause: thrown,
    });
  }
}

async function judge(
  cli: Cli,
  certificate: string | undefined,
  proof: LogProof,
  key: Parameters<typeof verifyGrown>[1],
): Promise<{ readonly ok: true } | Denial> {
  if (proof.kind === 'consistency') {
    if (certificate !== undefined) {
      throw usage(attempted, 'the proof is of two checkpoints, and a certificate is given');
    }
    return verifyGrown(proof, key);
  }
  if (certificate === undefined) {
    throw usage(attempted, 'the proof is of a certificate, and none is given');
  }
  const [leaf] = await readCertificates(cli, certificate, attempted);
  return verifyLogged(leaf?.raw ?? new Uint8Array(), proof, key);
}

function otherHead(found: Checkpoint, wanted: Checkpoint, file: string): Denial | undefined {
  if (found.size === wanted.size && equalBytes(found.root, wanted.root)) return undefined;
  if (found.size === wanted.size) {
    const detail = `two checkpoints of ${counted(found.size, 'entry', 'entries')} have different roots`;
    return denial('ERR_LOG_INCONSISTENT', detail, { size: found.size });
  }
  const sides = `leads to a checkpoint of ${counted(found.size, 'entry', 'entries')}, "${file}" is of ${wanted.size}`;
  return denial('ERR_LOG_PROOF', `the proof ${sides}`, { found: found.size, wanted: wanted.size });
}

async function verifyWhole(
  cli: Cli,
  certificate: string | undefined,
  options: LogVerifyOptions,
): Promise<void> {
  if (certificate !== undefined) throw usage(attempted, 'a certificate needs --proof');
  const log = await openLog(cli, options, attempted);
  const earlier: Checkpoint[] = [];
  for (const file of options.checkpoint ?? []) {
    earlier.push(await readCheckpoint(cli, file, log.key, attempted));
  }
  const { head, findings } = await verifyStill(log, earlier);
  if (findings.length > 0) return refuse(cli, options, findings);
  const also = earlier.length === 0 ? '' : `, ${earlier.length} earlier checkpoints continued`;
  await tell(cli, options, head, also);
}

/** A log that grows meanwhile takes partial tiles away: then what counts is the newer checkpoint. */
async function verifyStill(log: OpenedLog, earlier: readonly Checkpoint[]) {
  for (let attempt = 1; ; attempt += 1) {
    const head = await headOf(log, attempted);
    const { findings } = await verifyLog(log.source, head, earlier);
    const isSound = findings.length === 0 || attempt === 5;
    if (isSound || (await log.source.checkpoint()) === head.note) return { head, findings };
  }
}

async function tell(
  cli: Cli,
  { output }: LogVerifyOptions,
  { origin, size }: Checkpoint,
  also: string,
): Promise<void> {
  if (output === 'json') {
    await cli.out(`${JSON.stringify({ ok: true, origin, size, findings: [] }, null, 2)}\n`);
    return;
  }
  await cli.out(
    `${cli.outStyle.green('ok')} ${origin}, ${counted(size, 'entry', 'entries')}${also}\n`,
  );
}

async function refuse(
  cli: Cli,
  { output }: LogVerifyOptions,
  findings: readonly Denial[],
): Promise<never> {
  if (output === 'json') {
    const told = findings.map(({ code, detail, fields }) => ({ code, detail, ...fields }));
    await cli.out(`${JSON.stringify({ ok: false, findings: told }, null, 2)}\n`);
  } else {
    for (const finding of findings) {
      reportFailure(cli, failureOfDenial(finding, attempted), false);
    }
  }
  throw new ExitWith(1);
}
