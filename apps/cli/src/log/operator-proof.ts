import { CountersignError, errorOfDenial } from '@countersign/base';
import type { Authority } from '@countersign/ca';
import { authorityClient, type Identity } from '@countersign/identity';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import { type AuthorityClient, parseNoteKey } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { asOperator } from '../state/open-state.ts';
import type { StateOptions } from '../state/state-options.ts';
import { type LoggedProof, writeProof } from './write-proof.ts';

/** Proof for whoever holds the state, from the server or from the state itself. */
export function proofForOperator(
  cli: Cli,
  options: StateOptions,
  serial: string,
): Promise<LoggedProof> {
  return asOperator(cli, options, {
    server: (client) => proofOfClient(client, serial),
    state: (authority) => proofOfState(authority, serial),
  });
}

/** Beside an identity that was just issued, from the authority that it came from. */
export async function writeProofOf(
  { clock }: Cli,
  { svid, bundle }: Identity,
  url: string,
  directory: string,
): Promise<void> {
  const { trustDomain } = bundle;
  const [svids, bundles] = [staticSvid(svid), staticBundles(bundle)];
  const client = authorityClient({ url, svids, bundles, trustDomain, clock });
  const { raw, serialHex } = svid.leaf;
  await writeProof(directory, raw, await proofOfClient(client, serialHex));
}

async function proofOfClient(client: AuthorityClient, serial: string): Promise<LoggedProof> {
  const proof = await client.logProof(serial);
  return { proof, key: parseNoteKey(await client.logKey()) };
}

async function proofOfState({ issuanceLog }: Authority, serial: string): Promise<LoggedProof> {
  if (issuanceLog === undefined) {
    throw new CountersignError('ERR_LOG_MISSING', 'the authority keeps no issuance log');
  }
  const answer = await issuanceLog.proofOf(serial);
  if (!answer.ok) throw errorOfDenial(answer, 'prove that the certificate is in the log');
  return { proof: answer.proof, key: issuanceLog.key };
}
