import {
  type Clock,
  CountersignError,
  errorOfDenial,
  type Log,
  messageOf,
} from '@countersign/base';
import { makeBundle, makeSvid } from '@countersign/spiffe';
import { certificatesFromPem, decodePrivateKey } from '@countersign/x509';
import { type FollowedIdentity, followIdentity } from '../../follow-identity.ts';
import type { Identity } from '../../identity.ts';
import { tooOpen } from '../../plain-file.ts';
import { proveIdentity } from '../../prove-issued.ts';
import { readOpened, readText } from '../issuer-files.ts';

/** PEM files that somebody else renews, such as certbot, cert-manager's CSI driver, or an agent of Vault. */
export interface IdentityPemFiles {
  /** The private key, unencrypted. */
  readonly keyFile: string;
  /** The certificate, with or without what stands above it. */
  readonly certFile: string;
  /** What stands above it, where that is in a file of its own. */
  readonly chainFile?: string | undefined;
  /** Who is trusted. */
  readonly rootsFile: string;
}

export interface OpenFilesOptions {
  readonly files: IdentityPemFiles;
  /** The SPIFFE ID that the certificate is expected to have. */
  readonly spiffeId?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The identity in files that somebody else renews: looked at every second, and taken over as a whole or not at all. The key
 * must be that of the certificate, the chain lead to the roots, the certificate be valid now and not older than the one that
 * is held. Files that change one after the other do not belong together for a moment: what is held stays until they do.
 *
 * @throws CountersignError ERR_ISSUER_FILES where what is there now cannot be used
 */
export async function openFiles(options: OpenFilesOptions): Promise<FollowedIdentity> {
  const { files, spiffeId, clock, log } = options;
  let isTold = false;
  // Whoever renews them decides who reads them, such as a volume of Kubernetes: told, not refused.
  const tell = (why: string) => {
    if (!isTold) log.warn({ path: files.keyFile }, `private key of others' files: ${why}`);
    isTold = true;
  };
  const read = () => readPemFiles(files, spiffeId, tell);
  const identity = await read();
  const proof = proveIdentity(identity, clock.now());
  if (!proof.ok) throw unusable(files, messageOf(errorOfDenial(proof)), proof);
  return followIdentity({
    ...{ identity, directory: files.certFile, read, refusesOlder: true, clock, log },
  });
}

async function readPemFiles(
  files: IdentityPemFiles,
  spiffeId: string | undefined,
  tell: (why: string) => void,
): Promise<Identity> {
  try {
    const { text: key, mode } = await readOpened(files.keyFile);
    const cert = await readText(files.certFile);
    const chain = files.chainFile === undefined ? '' : await readText(files.chainFile);
    const roots = await readText(files.rootsFile);
    const above = chain === '' ? [] : certificatesFromPem(chain);
    const svid = makeSvid([...certificatesFromPem(cert), ...above], decodePrivateKey(key));
    const why = tooOpen({ mode });
    if (why !== undefined) tell(why);
    const found = svid.spiffeId.toString();
    if (spiffeId !== undefined && found !== spiffeId) {
      throw new Error(`SPIFFE ID is "${found}", expected "${spiffeId}"`);
    }
    return { svid, bundle: makeBundle(svid.spiffeId.trustDomain, certificatesFromPem(roots)) };
  } catch (thrown) {
    throw unusable(files, messageOf(thrown), thrown);
  }
}

function unusable(files: IdentityPemFiles, why: string, cause: unknown): CountersignError {
  const { keyFile, certFile, rootsFile } = files;
  const message = `identity of "${certFile}", key "${keyFile}" and roots "${rootsFile}": ${why}`;
  return new CountersignError('ERR_ISSUER_FILES', message, { cause });
}
