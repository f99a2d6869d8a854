import { enrol } from '@countersign/identity';
import type { Cli } from '../cli.ts';
import { keyKindOfOption, keyTypeOption } from '../key-type-option.ts';
import { writeProofOf } from '../log/operator-proof.ts';
import { type ProofOptions, proofOption } from '../log/write-proof.ts';
import { outputOption } from '../output-option.ts';
import { readSecret } from '../secret-argument.ts';
import { tellIdentity } from '../state/tell-identity.ts';
import type { Verb } from '../verb.ts';
import { addWishOptions, type WishOptions, wishesOf } from '../wish-options.ts';

interface EnrolOptions extends WishOptions, ProofOptions {
  readonly ca: string;
  readonly fingerprint?: string;
  readonly token: string;
  readonly out: string;
  readonly keyType?: string;
  readonly output: string;
}

/** `countersign enrol`: a first identity for whoever has a one-time token. */
export const enrolVerb: Verb = {
  define(command, cli) {
    addWishOptions(command, "wished lifetime; the authority's unless given")
      .requiredOption('--ca <url>', 'the authority: https://HOST:PORT')
      .requiredOption('--token <secret>', 'one-time token, or a JWT of another issuer: @FILE, or -')
      .requiredOption('--out <dir>', 'where to write key.pem, cert.pem, chain.pem, bundle.pem')
      .option('--fingerprint <sha256>', "SHA-256 of the root's DER; a one-time token names it too")
      .addOption(keyTypeOption('p256'))
      .addOption(proofOption())
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: EnrolOptions) => run(cli, options));
  },
};

const help = `
The key is made here and stays here. The token is sent only to an authority under the pinned root.

Example:
  countersign enrol --ca https://127.0.0.1:8440 --token @token.txt --out payments
  countersign enrol --ca https://127.0.0.1:8440 --fingerprint SHA256 --token @id.jwt --out payments`;

async function run(cli: Cli, options: EnrolOptions): Promise<void> {
  const token = await readSecret(cli, options.token, '--token');
  const keyKind = keyKindOfOption(options.keyType);
  const identity = await enrol({
    url: options.ca,
    token: token.reveal(),
    out: options.out,
    clock: cli.clock,
    ...(options.fingerprint !== undefined && { fingerprint: options.fingerprint }),
    ...wishesOf(options),
    ...(keyKind !== undefined && { keyKind }),
  });
  await tellIdentity(cli, identity.svid, options.out, options.output);
  if (options.logProof === true) await writeProofOf(cli, identity, options.ca, options.out);
}
