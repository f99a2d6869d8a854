import { basename, join } from 'node:path';
import {
  CountersignError,
  prepareDirectory,
  proveReplaceable,
  writeFileDurably,
} from '@countersign/base';
import { formatCeremony, formatRootList, signRequest, signRootList } from '@countersign/ca';
import { type RevocationReason, revocationReasons } from '@countersign/x509';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { outputOption } from '../output-option.ts';
import { readInput } from '../read-input.ts';
import { filesOf } from '../rotation/carried-files.ts';
import { readLastingSecret } from '../secret-argument.ts';
import { createLog } from '../serve/pino-log.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { addSealOptions } from '../state/state-options.ts';
import { takingPart, whoOption } from '../state/who-option.ts';
import type { Verb } from '../verb.ts';

interface SignOptions {
  readonly root: string;
  readonly csr?: string;
  readonly otherRoot?: string;
  readonly crl?: true;
  readonly revoke?: string[];
  readonly validity?: number;
  readonly out: string;
  readonly by?: string[];
  readonly passphrase?: string;
  readonly keyFile?: string;
  readonly output: string;
}

/** `countersign sign`: an offline root signs the request of an intermediate, and prints the record of it. */
export const signVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .requiredOption('--root <dir>', 'the offline root, made by init --offline-root --root-out')
        .option(
          '--csr <file>',
          'a request that was carried here: requests/NAME.csr; or a directory of them',
        )
        .option(
          '--other-root <dir>',
          "the other root's directory, where a request is for that one's key",
        )
        .option('--crl', 'or the list of what it revoked, instead of a request')
        .addOption(
          new Option(
            '--revoke <serial[=reason]>',
            'with --crl: revoke a certificate that it signed; repeatable',
          ).argParser((value: string, before: string[] = []) => [...before, value]),
        )
        .addOption(
          durationOption(
            '--validity <duration>',
            'with --crl: from thisUpdate to nextUpdate; root_validity of its ca.yaml unless given',
            366 * 86_400_000,
          ),
        )
        .requiredOption(
          '--out <file>',
          'where to write the certificate or list, to be carried back; a directory beside one of requests',
        ),
    )
      .addOption(whoOption())
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: SignOptions) => sign(cli, options));
  },
};

const help = `
Signs exactly what the root's own ca.yaml has for that intermediate, each request once; the record of the ceremony is
printed, and kept in the root's directory.

When a root is replaced, the old and the new one sign each other: each vouches for its key by its directory, --other-root.
Of a directory of requests those are signed that are for this root.

Example:
  countersign sign --root /media/vault/root --csr production.csr --out production.pem --by "Alice Adams" --by "Bob Berg"
  countersign sign --root /media/vault/root --crl --revoke 01…=cACompromise --out root.crl --by "Alice Adams"`;

async function sign(cli: Cli, options: SignOptions): Promise<void> {
  const { root, csr, crl, out, passphrase, keyFile } = options;
  if ((csr === undefined) === (crl === undefined)) throw usage('exactly one of --csr and --crl');
  if (csr === undefined && options.otherRoot !== undefined) {
    throw usage('--other-root does nothing beside --crl');
  }
  if (crl === undefined && (options.revoke ?? options.validity) !== undefined) {
    throw usage('--revoke and --validity are about a list, which --crl signs');
  }
  const requests = csr === undefined ? undefined : await requestFiles(csr);
  if (requests === undefined) await proveReplaceable(out, `sign to "${out}"`);
  const shared = {
    directory: root,
    by: takingPart(options.by),
    clock: cli.clock,
    secrets: secretPlaces(cli),
    log: createLog(cli, 'warn'),
    ...(keyFile !== undefined && { keyFile }),
    ...(passphrase !== undefined && {
      passphrase: await readLastingSecret(cli, passphrase, '--passphrase', (text) =>
        cli.err(`note: ${text}\n`),
      ),
    }),
  };
  if (csr === undefined) return signList(cli, options, shared);
  const { otherRoot } = options;
  if (requests === undefined) {
    const one = await signOne(cli, csr, out, { ...shared, otherRoot });
    if (options.output !== 'json') return tell(cli, one);
    return cli.out(`${JSON.stringify(documentOf(one), null, 2)}\n`);
  }
  await prepareDirectory(out, `sign to "${out}"`, { mode: 0o700 });
  const signed: SignedFile[] = [];
  try {
    for (const file of requests) {
      const to = join(out, basename(file).replace(/\.csr$/, '.pem'));
      await proveReplaceable(to, `sign to "${to}"`);
      const one = await signOne(cli, file, to, { ...shared, otherRoot }).catch(
        otherRootSigns(file),
      );
      if (one === undefined) continue;
      signed.push(one);
      if (options.output !== 'json') await tell(cli, one);
    }
  } catch (thrown) {
    throw beside(signed, thrown);
  } finally {
    // One document, also of what was signed before something stopped it.
    const all = { signed: signed.map(documentOf) };
    if (options.output === 'json' && signed.length > 0)
      await cli.out(`${JSON.stringify(all, null, 2)}\n`);
  }
  if (signed.length > 0) return;
  throw new CountersignError('ERR_CEREMONY_REQUEST', `no request in "${csr}" is for "${root}"`);

  function otherRootSigns(file: string) {
    return (thrown: unknown): undefined => {
      if (!isForAnotherKey(thrown)) throw thrown;
      cli.err(`note: "${file}" is for another root to sign\n`);
    };
  }
}

/** What stopped the signing of a directory, with what was signed by then: that stands. */
function beside(signed: readonly SignedFile[], thrown: unknown): unknown {
  if (!(thrown instanceof CountersignError) || signed.length === 0) return thrown;
  const { code, message, fields, exit } = thrown;
  const files = signed.map(({ out }) => `"${out}"`).join(', ');
  const hint = `signed before it, which stands: ${files}; mend this one, or take it out, and run it again`;
  return new CountersignError(code, message, { fields, hint, exit, cause: thrown });
}

type Shared = Omit<Parameters<typeof signRequest>[0], 'request' | 'file'>;

interface SignedFile extends Awaited<ReturnType<typeof signRequest>> {
  readonly out: string;
}

async function signOne(cli: Cli, file: string, out: string, shared: Shared): Promise<SignedFile> {
  const bytes = await readInput(cli, file, 'read request');
  const request = Buffer.from(bytes).toString('utf8');
  const signed = await signRequest({ ...shared, request, file });
  await writeFileDurably(out, signed.pem);
  return { ...signed, out };
}

function againText({ at, by }: { readonly at: string; readonly by: readonly string[] }): string {
  return `  ${'given out again'.padEnd(20)}${at}, to ${by.join(', ')}\n`;
}

async function tell(cli: Cli, { record, repeated, again }: SignedFile): Promise<void> {
  if (repeated) cli.err('note: it was signed before; this is that certificate again\n');
  await cli.out(`${formatCeremony(record)}${again === undefined ? '' : againText(again)}`);
}

function documentOf({ name, out, repeated, record, again }: SignedFile) {
  return { name, out, repeated, record, again };
}

/** Of a directory; a root by itself comes first, for what it signs is held to its own certificate. */
async function requestFiles(given: string): Promise<string[] | undefined> {
  const all = await filesOf(given, '.csr');
  if (all[0] === given) return undefined;
  const rank = (file: string) => (/^(.+)-by-\1\.csr$/.test(basename(file)) ? 0 : 1);
  return all.toSorted((a, b) => rank(a) - rank(b));
}

function isForAnotherKey(thrown: unknown): boolean {
  return (
    thrown instanceof CountersignError &&
    thrown.code === 'ERR_CEREMONY_REQUEST' &&
    thrown.fields?.wantedKey !== undefined
  );
}

async function signList(
  cli: Cli,
  { out, revoke = [], validity, output }: SignOptions,
  shared: Omit<Parameters<typeof signRootList>[0], 'revoke'>,
): Promise<void> {
  const { der, pem, record } = await signRootList({
    ...shared,
    revoke: revoke.map(revokedOf),
    ...(validity !== undefined && { validityMs: validity }),
  });
  await writeFileDurably(out, out.endsWith('.pem') ? pem : der);
  await cli.out(
    output === 'json' ? `${JSON.stringify({ out, record }, null, 2)}\n` : formatRootList(record),
  );
}

function revokedOf(written: string): { serialHex: string; reason: RevocationReason } {
  const [serial = '', reason = 'unspecified'] = written.split('=');
  if (!Object.hasOwn(revocationReasons, reason) || !lasting(reason)) {
    const known = Object.keys(revocationReasons).filter(lasting).join(', ');
    throw usage(`"${reason}" is no reason for good, expected one of ${known}`);
  }
  return { serialHex: serial.toLowerCase(), reason: reason as RevocationReason };
}

function lasting(reason: string): boolean {
  return reason !== 'certificateHold' && reason !== 'removeFromCRL';
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `sign: ${reason}`, {
    hint: 'run `countersign sign --help`',
  });
}
