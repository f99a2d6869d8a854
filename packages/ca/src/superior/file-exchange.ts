import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf, writeFileDurably } from '@countersign/base';
import type { IntermediateSigner } from '@countersign/spiffe';
import {
  certificateRequestFromPem,
  certificatesFromPem,
  encodePem,
  publicKeyOf,
} from '@countersign/x509';

/**
 * Another authority that files are carried to: the request is written to one, and the certificates, ours first, are taken
 * from the other once somebody has put them there. What is there for another key, or has ended, is not the answer yet.
 */
export function fileExchange(options: {
  readonly requestFile: string;
  readonly signedFile: string;
  readonly now: () => number;
}): IntermediateSigner {
  const { requestFile, signedFile, now } = options;
  const title = `whoever signs "${requestFile}"`;
  return {
    title,
    async sign({ csr }) {
      const wanted = certificateRequestFromPem(encodePem('CERTIFICATE REQUEST', csr));
      if (!(await isWritten(requestFile, wanted.spki.raw))) {
        await writeFileDurably(requestFile, encodePem('CERTIFICATE REQUEST', csr));
      }
      const chain = await readSigned(signedFile);
      const [own] = chain;
      if (own === undefined || now() > own.notAfter) return undefined;
      if (!publicKeyOf(own.spki).equals(publicKeyOf(wanted.spki))) return undefined;
      return { chain, roots: [] };
    },
  };
}

/** The same request again is not written again: it may be under way. */
async function isWritten(file: string, spki: Uint8Array): Promise<boolean> {
  try {
    const found = certificateRequestFromPem(await readFile(file, 'utf8'));
    return Buffer.from(found.spki.raw).equals(Buffer.from(spki));
  } catch {
    return false;
  }
}

async function readSigned(file: string) {
  try {
    return certificatesFromPem(await readFile(file, 'utf8'));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    const message = `read what was signed in "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_SUPERIOR_ANSWER', message, { cause: thrown });
  }
}
