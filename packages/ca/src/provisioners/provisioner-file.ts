import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import { type Certificate, certificatesFromPem } from '@countersign/x509';

/** Read at each use: whoever replaces it need not tell. @throws CountersignError ERR_PROVISIONER_FILE */
export async function textIn(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    throw wrongFile(file, thrown);
  }
}

/** @throws CountersignError ERR_PROVISIONER_FILE */
export async function certificatesIn(file: string): Promise<readonly Certificate[]> {
  const pem = await textIn(file);
  try {
    return certificatesFromPem(pem);
  } catch (thrown) {
    throw wrongFile(file, thrown);
  }
}

function wrongFile(file: string, thrown: unknown): CountersignError {
  const message = `read "${file}": ${messageOf(thrown)}`;
  return new CountersignError('ERR_PROVISIONER_FILE', message, { fields: { file }, cause: thrown });
}
