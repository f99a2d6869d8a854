import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import type { NamedCertificate } from '@countersign/identity';
import {
  buildJks,
  buildPkcs12,
  type Certificate,
  encodePem,
  encodePrivateKey,
  type KeyStoreContent,
} from '@countersign/x509';
import type { Output, OutputFormat } from './kept-certificate.ts';

interface Made extends NamedCertificate {
  readonly password: string;
  readonly alias: string;
  readonly now: number;
}

/** The content of each kind of file. */
const makers: Readonly<Record<OutputFormat, (made: Made) => Uint8Array | string>> = {
  key: ({ privateKey }) => encodePrivateKey(privateKey),
  'key-traditional': traditionalKey,
  'key-der': ({ privateKey }) =>
    new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' })),
  cert: ({ chain }) => pem([chain[0]]),
  chain: ({ chain }) => pem(chain),
  bundle: ({ bundle }) => pem(bundle.authorities),
  combined: ({ privateKey, chain }) => encodePrivateKey(privateKey) + pem(chain),
  pkcs12: (made) => buildPkcs12(keyStore(made)),
  'pkcs12-trust': (made) => buildPkcs12(trustStore(made)),
  jks: (made) => buildJks(keyStore(made)),
  'jks-trust': (made) => buildJks(trustStore(made)),
};

/** @throws CountersignError ERR_KEEP_PASSWORD */
export async function outputBytes(
  output: Output,
  certificate: NamedCertificate,
  now: number,
): Promise<Uint8Array> {
  const { passwordFile, format, alias } = output;
  const password = passwordFile === undefined ? '' : await readPassword(passwordFile);
  try {
    return Buffer.from(makers[format]({ ...certificate, password, alias, now }));
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    const message = `make "${output.path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_KEEP_PASSWORD', message);
  }
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** @throws CountersignError ERR_KEEP_PASSWORD */
export async function readPassword(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
  } catch (thrown) {
    throw new CountersignError('ERR_KEEP_PASSWORD', `read "${path}": ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

const traditionalTypes: Readonly<Record<string, 'pkcs1' | 'sec1'>> = { rsa: 'pkcs1', ec: 'sec1' };

/** As OpenSSL wrote keys before PKCS #8: PKCS #1 of RSA, SEC 1 of elliptic curves. Others have no such form. */
function traditionalKey({ privateKey }: Made): string {
  const type = traditionalTypes[privateKey.asymmetricKeyType ?? ''];
  if (type === undefined) return encodePrivateKey(privateKey);
  const options = { type, format: 'pem' } as Parameters<typeof privateKey.export>[0];
  return String(privateKey.export(options));
}

function keyStore({ privateKey, chain, bundle, alias, ...made }: Made): KeyStoreContent {
  return {
    ...storeOf(made),
    key: { alias, privateKey, chain: [...chain, ...rootOf(chain, bundle)] },
  };
}

function trustStore({ bundle, ...made }: Made): KeyStoreContent {
  return { ...storeOf(made), trusted: bundle.authorities };
}

function storeOf({ password, now }: Pick<Made, 'password' | 'now'>) {
  return {
    password,
    createdAt: now,
    randomBytes: (size: number) => new Uint8Array(randomBytes(size)),
  };
}

/** Java wants the whole chain in a key store; the anchor that issued its last certificate ends it. */
function rootOf(
  chain: readonly Certificate[],
  { authorities }: NamedCertificate['bundle'],
): readonly Certificate[] {
  const issuer = chain.at(-1)?.issuer.raw;
  const root = authorities.find(
    ({ subject }) => issuer !== undefined && Buffer.compare(subject.raw, issuer) === 0,
  );
  return root === undefined ? [] : [root];
}

function pem(certificates: readonly Certificate[]): string {
  return certificates.map((each) => encodePem('CERTIFICATE', each.raw)).join('');
}
