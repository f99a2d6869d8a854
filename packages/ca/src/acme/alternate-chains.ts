import { readFile } from 'node:fs/promises';
import { CountersignError, type Log, messageOf } from '@countersign/base';
import { type Certificate, certificatesFromPem, verifySignature } from '@countersign/x509';
import { issued } from './chain-paths.ts';

/**
 * The certificates of `acme.alternate_chains`: in each file the first is of a key of the hierarchy, by another issuer than
 * the hierarchy's, and each further one is of the issuer of the one before. That one fits is the operator's to see to: a
 * key that was replaced meanwhile fits no more, which is told and stops nothing.
 *
 * @throws CountersignError ERR_FILE, ERR_CONFIG_VALUE where a file holds no chain
 */
export async function readAlternateChains(
  files: readonly string[],
  own: readonly Certificate[],
  log: Log,
): Promise<readonly Certificate[]> {
  const chains = await Promise.all(files.map(readChain));
  for (const [i, [first]] of chains.entries()) {
    const fits = own.some((each) => first !== undefined && issuedAlike(each, first));
    if (fits) continue;
    log.warn({ file: files[i] }, 'alternate chain fits no key of the hierarchy, nobody gets it');
  }
  return chains.flat();
}

async function readChain(file: string): Promise<readonly Certificate[]> {
  let chain: readonly Certificate[];
  try {
    chain = certificatesFromPem(await readFile(file, 'utf8'));
  } catch (thrown) {
    const message = `read the alternate chain "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_CONFIG_VALUE', message, { cause: thrown });
  }
  for (const [i, each] of chain.entries()) {
    const above = chain[i + 1];
    if (above === undefined) break;
    const { signatureAlgorithm, tbs, signature } = each;
    const isNext =
      issued(above, each) && verifySignature(above.spki, signatureAlgorithm, tbs, signature);
    if (isNext) continue;
    const message = `alternate chain "${file}": certificate ${i + 2} did not sign certificate ${i + 1}`;
    throw new CountersignError('ERR_CONFIG_VALUE', message, { fields: { file } });
  }
  return chain;
}

/** Whether both are of one name and key. */
function issuedAlike(a: Certificate, b: Certificate): boolean {
  return (
    Buffer.from(a.spki.raw).equals(b.spki.raw) && Buffer.from(a.subject.raw).equals(b.subject.raw)
  );
}
