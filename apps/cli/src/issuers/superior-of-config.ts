import { dirname, resolve } from 'node:path';
import type { Log } from '@countersign/base';
import {
  type Authority,
  fileExchange,
  keepSuperior,
  type SuperiorKeeper,
  stateLayout,
} from '@countersign/ca';
import type { WrittenSuperior } from '@countersign/config';
import { awsPcaSuperior, vaultSuperior } from '@countersign/identity';
import type { IntermediateSigner } from '@countersign/spiffe';
import type { Cli } from '../cli.ts';
import {
  fileRoots,
  type IssuerSurroundings,
  rootsOfConfig,
  vaultAuthOf,
} from './signer-of-config.ts';

const usualValidityMs = 365 * 86_400_000;

/** Keeps an authority below the one that `issued_by` of its ca.yaml names; undefined where it names none. */
export async function startSuperior(
  authority: Authority,
  options: { readonly config: string; readonly data: string },
  { cli, log }: { readonly cli: Cli; readonly log: Log },
): Promise<SuperiorKeeper | undefined> {
  const { issuedBy } = authority.config;
  if (issuedBy === undefined) return undefined;
  const { clock } = cli;
  const around = { cli, directory: resolve(dirname(options.config)), clock, log };
  return await keepSuperior({
    ...{ authority, clock, log, signer: signerOf(issuedBy, around) },
    roots: rootsOfConfig(issuedBy, around),
    validityMs: issuedBy.validity ?? usualValidityMs,
    file: stateLayout(options.data).superior,
  });
}

function signerOf(written: WrittenSuperior, around: IssuerSurroundings): IntermediateSigner {
  const { vault, aws_pca: awsPca, files } = written;
  const { clock, log, directory } = around;
  if (vault !== undefined) {
    const { auth, server_roots: serverRoots, timeout: timeoutMs, ...rest } = vault;
    return vaultSuperior({
      ...{ ...rest, timeoutMs, clock, log, auth: vaultAuthOf(auth, around) },
      serverRoots: fileRoots(serverRoots, around),
    });
  }
  if (awsPca !== undefined) {
    const { signing_algorithm: signingAlgorithm, timeout: timeoutMs, ...rest } = awsPca;
    return awsPcaSuperior({ ...rest, signingAlgorithm, timeoutMs, clock });
  }
  if (files === undefined) throw new TypeError('the schema lets one of them through');
  return fileExchange({
    requestFile: resolve(directory, files.request),
    signedFile: resolve(directory, files.signed),
    now: () => clock.now(),
  });
}
