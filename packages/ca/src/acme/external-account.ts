import { CountersignError } from '@countersign/base';
import { noSecretPlaces, secretReader } from '../signers/secret-source.ts';
import type { AcmeConfig, ExternalAccount } from './acme-config.ts';
import type { Account } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';
import type { AcmeRequest } from './acme-request.ts';
import { jsonOf, readJwk, readJws, verifyMac } from './jose.ts';

/**
 * RFC 8555 §7.3.4: the key of an account elsewhere signs, by a MAC, that this key is its own. Its `kid` decides the
 * provisioner that the policy sees.
 */
export async function externalBinding(
  config: AcmeConfig,
  request: AcmeRequest,
  written: unknown,
): Promise<{ readonly ok: true; readonly external: Account['external'] } | AcmeProblem> {
  // Clients that have none write null.
  if (written === undefined || written === null) {
    if (!config.externalAccountRequired) return { ok: true, external: undefined };
    return problem('externalAccountRequired', '"externalAccountBinding" is required here');
  }
  const jws = readJws(written);
  if (!jws.ok) return jws;
  const { alg, kid, url, nonce } = jws.header;
  if (!/^HS(256|384|512)$/.test(alg)) {
    return problem(
      'malformed',
      `the binding's "alg" is "${alg.slice(0, 40)}", a MAC is needed: HS256, HS384, HS512`,
    );
  }
  if (kid === undefined) return problem('malformed', 'the binding needs "kid"');
  if (nonce !== undefined) return problem('malformed', 'the binding must have no "nonce"');
  if (url !== request.jws.header.url) {
    return problem('malformed', 'the "url" of the binding is not that of the outer JWS');
  }
  const known = config.externalAccounts.find((each) => each.kid === kid);
  // Unknown and wrong are told apart by the log alone.
  const isRight = known !== undefined && verifyMac(jws, await keyOf(known));
  if (!isRight)
    return problem('unauthorized', 'the external account is unknown or its key is wrong');
  const bound = readJwk(jsonOf(jws.payload));
  const signed = request.signer.kind === 'key' ? request.signer.key.thumbprint : '';
  if (!bound.ok || bound.key.thumbprint !== signed) {
    return problem('malformed', 'the binding is for another key than the one that signed');
  }
  return { ok: true, external: { kid, binding: written } };
}

/** @throws CountersignError ERR_SIGNER_SECRET where the file has no key */
async function keyOf({ kid, key }: ExternalAccount): Promise<Uint8Array> {
  if ('bytes' in key) return key.bytes;
  const what = `key of the external account "${kid}"`;
  const read = await secretReader({ from: 'file', path: key.file }, noSecretPlaces, what)();
  const bytes = Buffer.from(read.reveal(), 'base64url');
  if (bytes.byteLength >= 16) return bytes;
  const sides = `has ${bytes.byteLength} octets, at least 16 are needed`;
  throw new CountersignError('ERR_SIGNER_SECRET', `the ${what} in "${key.file}" ${sides}`);
}

/** The provisioner that vouches for what an account orders. */
export function provisionerOf(config: AcmeConfig, account: Account): string {
  const { external } = account;
  const bound = config.externalAccounts.find((each) => each.kid === external?.kid);
  return bound?.provisioner ?? config.provisioner;
}
