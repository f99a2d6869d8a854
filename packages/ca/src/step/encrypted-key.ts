import { CountersignError } from '@countersign/base';
import type { ProvisionerConfig } from '../provisioners/provisioner-config.ts';
import { textIn } from '../provisioners/provisioner-file.ts';

/**
 * What step's clients open with a provisioner's password: the private half of the first key of its file, as a JWE in compact
 * form, for everybody to read. Undefined where `encrypted_key_file` names none. Nothing but the parts of a JWE leaves here,
 * so that a key that somebody put there in the clear does not.
 *
 * @throws CountersignError ERR_PROVISIONER_FILE
 */
export async function encryptedKeyOf(provisioner: ProvisionerConfig): Promise<string | undefined> {
  const { encryptedKeyFile: file } = provisioner;
  if (file === undefined) return undefined;
  const text = (await textIn(file)).trim();
  const parts = text.startsWith('{') ? partsOf(text) : text.split('.');
  const [header = ''] = parts;
  // RFC 7516 §7.1; RFC 7518 §4.8: under a password
  const isWhole = parts.length === 5 && parts.every((each) => /^[\w-]{1,16384}$/.test(each));
  const { alg, enc } = isWhole ? membersIn(Buffer.from(header, 'base64url').toString()) : {};
  if (isWhole && /^PBES2-/.test(String(alg)) && typeof enc === 'string') return parts.join('.');
  const message = `read "${file}": it is no JWE under a password, as "step crypto jwk create" writes it`;
  throw new CountersignError('ERR_PROVISIONER_FILE', message, { fields: { file } });
}

/** RFC 7516 §7.2.2: flattened, as step writes files. */
function partsOf(text: string): readonly string[] {
  const { protected: header, encrypted_key: key, iv, ciphertext, tag } = membersIn(text);
  return [header, key, iv, ciphertext, tag].map((each) => (typeof each === 'string' ? each : ''));
}

function membersIn(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Readonly<Record<string, unknown>>;
  } catch {
    // The caller says what was expected; the parser's words would quote the file.
    return {};
  }
}
