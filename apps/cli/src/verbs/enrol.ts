import { CountersignError } from '@countersign/base';
import { type EvidenceSource, enrol, enrolByEvidence } from '@countersign/identity';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { keyKindOfOption, keyTypeOption } from '../key-type-option.ts';
import { writeProofOf } from '../log/operator-proof.ts';
import { type ProofOptions, proofOption } from '../log/write-proof.ts';
import { outputOption } from '../output-option.ts';
import { type OpenedProofKey, openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import { createLog } from '../serve/pino-log.ts';
import { tellIdentity } from '../state/tell-identity.ts';
import type { Verb } from '../verb.ts';
import { addWishOptions, type WishOptions, wishesOf } from '../wish-options.ts';

interface EnrolOptions extends WishOptions, ProofOptions {
  readonly ca: string;
  readonly fingerprint?: string;
  readonly token?: string;
  readonly attest?: 'aws' | 'gcp' | 'azure' | 'tpm';
  readonly tpm?: string;
  readonly audience?: string;
  readonly metadata?: string;
  readonly out: string;
  readonly replace?: boolean;
  readonly proofKey?: string;
  readonly keyType?: string;
  readonly output: string;
}

/** `countersign enrol`: a first identity for whoever has a one-time token. */
export const enrolVerb: Verb = {
  define(command, cli) {
    addWishOptions(command, "wished lifetime; the authority's unless given")
      .requiredOption('--ca <url>', 'the authority: https://HOST:PORT')
      .requiredOption('--out <dir>', 'where to write key.pem, cert.pem, chain.pem, bundle.pem')
      .option('--replace', 'write over an identity of another SPIFFE ID')
      .option('--token <secret>', 'one-time token, or a JWT of another issuer: @FILE, or -')
      .option('--fingerprint <sha256>', "SHA-256 of the root's DER; a one-time token names it too")
      .addOption(
        new Option(
          '--attest <by>',
          'instead of a token: what its cloud or its TPM says of this machine',
        )
          .choices(['aws', 'gcp', 'azure', 'tpm'])
          .conflicts('token'),
      )
      .option('--audience <text>', "of gcp's token, and of azure's managed identity's")
      .option('--tpm <path>', 'device of the TPM: /dev/tpmrm0 unless given')
      .option('--metadata <url>', 'of the metadata service: http://169.254.169.254 unless given')
      .addOption(keyTypeOption('p256'))
      .addOption(proofKeyOption())
      .addOption(proofOption())
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: EnrolOptions) => run(cli, options));
  },
};

const help = `
The key is made here and stays here. The token is sent only to an authority under the pinned root. An identity that
is in its place already is replaced by one of the same SPIFFE ID, by another only with --replace.

Example:
  countersign enrol --ca https://127.0.0.1:8440 --token @token.txt --out payments
  countersign enrol --ca https://127.0.0.1:8440 --fingerprint SHA256 --token @id.jwt --out payments
  countersign enrol --ca https://127.0.0.1:8440 --fingerprint SHA256 --attest aws --out payments
  countersign enrol --ca https://127.0.0.1:8440 --token @token.txt --proof-key tpm:0x81000001 --out payments`;

async function run(cli: Cli, options: EnrolOptions): Promise<void> {
  const opened = await openProofKey(cli, options.proofKey, createLog(cli, 'warn'));
  const identity = await identityFor(cli, options, opened.proofKey).finally(() => opened.close());
  await tellIdentity(cli, identity.svid, options.out, options.output);
  if (options.logProof === true) await writeProofOf(cli, identity, options.ca, options.out);
}

async function identityFor(cli: Cli, options: EnrolOptions, proofKey: OpenedProofKey['proofKey']) {
  const { ca: url, out, fingerprint, attest } = options;
  const keyKind = keyKindOfOption(options.keyType);
  const kind = keyKind !== undefined && { keyKind };
  const place = { out, ...(options.replace === true && { replace: true }) };
  const common = { url, ...place, clock: cli.clock, ...kind, ...proofKey };
  const { ttlMs, ...others } = wishesOf(options);
  const ttl = ttlMs === undefined ? {} : { ttlMs };
  if (attest === undefined) {
    if (options.token === undefined) throw usage('--token or --attest is missing');
    const stray = (['audience', 'metadata', 'tpm'] as const).find(
      (name) => options[name] !== undefined,
    );
    if (stray !== undefined) throw usage(`--${stray} goes with --attest`);
    const token = (await readSecret(cli, options.token, '--token')).reveal();
    const pin = fingerprint === undefined ? {} : { fingerprint };
    return await enrol({ ...common, token, ...pin, ...ttl, ...others });
  }
  if (fingerprint === undefined) throw usage('--attest needs --fingerprint');
  const stray = Object.keys(others)[0];
  if (stray !== undefined)
    throw usage(`--${stray} goes with join tokens: the provisioner decides it`);
  const source = sourceOf(attest, options);
  return await enrolByEvidence({ ...common, fingerprint, source, ...ttl });
}

function sourceOf(
  kind: NonNullable<EnrolOptions['attest']>,
  { audience, metadata, tpm: device }: EnrolOptions,
): EvidenceSource {
  if (kind === 'tpm') {
    if (audience !== undefined || metadata !== undefined) {
      throw usage('--audience and --metadata are of clouds, not of tpm');
    }
    return { kind, device };
  }
  if (device !== undefined) throw usage('--tpm goes with --attest tpm');
  if (kind === 'azure') return { kind, audience, metadata };
  if (kind === 'aws') {
    if (audience !== undefined) throw usage('--audience is nothing of aws: its document has none');
    return { kind, metadata };
  }
  if (audience === undefined) throw usage('--attest gcp needs --audience');
  return { kind, audience, metadata };
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `enrol: ${reason}`, {
    hint: 'run `countersign enrol --help`',
  });
}
