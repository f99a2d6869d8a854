import { CountersignError } from '@countersign/base';
import {
  keepIssued,
  prepareIdentityDirectory,
  readIdentity,
  renewOnce,
  renewOverMtls,
  writeIdentity,
} from '@countersign/identity';
import { bundleDigest } from '@countersign/spiffe';
import type { Cli } from '../cli.ts';
import { writeProofOf } from '../log/operator-proof.ts';
import { type ProofOptions, proofOption } from '../log/write-proof.ts';
import { outputOption } from '../output-option.ts';
import { openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { createLog } from '../serve/pino-log.ts';
import { tellIdentity } from '../state/tell-identity.ts';
import type { Verb } from '../verb.ts';
import { addWishOptions, type WishOptions, wishesOf } from '../wish-options.ts';

interface RenewOptions extends WishOptions, ProofOptions {
  readonly ca?: string;
  readonly identity: string;
  readonly proofKey?: string;
  readonly output: string;
}

const timeoutMs = 30_000;

/** `countersign renew`: a new key and certificate for the same names, shown the current one. */
export const renewVerb: Verb = {
  define(command, cli) {
    addWishOptions(command, "wished lifetime; the authority's unless given")
      .requiredOption('--identity <dir>', 'the identity to renew; it is replaced in one step')
      .option('--ca <url>', 'the authority; the one that the identity came from unless given')
      .addOption(proofKeyOption())
      .addOption(proofOption())
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nExample:\n  countersign renew --ca https://127.0.0.1:8440 --identity payments',
      )
      .action((options: RenewOptions) => renew(cli, options));
  },
};

async function renew(cli: Cli, options: RenewOptions): Promise<void> {
  const { identity: directory } = options;
  const { clock } = cli;
  const current = await readIdentity(directory);
  const url = options.ca ?? current.ca;
  if (url === undefined) {
    throw new CountersignError(
      'ERR_USAGE',
      `renew "${directory}": --ca is missing, and identity.json does not name an authority`,
    );
  }
  await prepareIdentityDirectory(directory);
  const opened = await openProofKey(cli, options.proofKey, createLog(cli, 'warn'));
  const renew = renewOverMtls({ url, clock, ...wishesOf(options), ...opened.proofKey });
  const signal = AbortSignal.timeout(timeoutMs);
  const asked = { current: { ...current, ca: url }, renew, clock, signal };
  const renewed = await renewOnce(asked).finally(() => opened.close());
  await keepIssued(renewed.svid.serialHex, 'renewal', () => writeIdentity(directory, renewed));
  // A new root waits until everybody holds it. What is not said now is said at the next renewal.
  const holds = bundleDigest(renewed.bundle);
  await renew.fetchBundle?.({ current: renewed, holds, signal }).catch(() => {});
  await tellIdentity(cli, renewed.svid, directory, options.output);
  if (options.logProof === true) await writeProofOf(cli, renewed, url, directory);
}
