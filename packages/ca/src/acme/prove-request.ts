import { randomInt } from 'node:crypto';
import type { AcmeContext } from './acme-context.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';
import type { AcmeLinks, AcmeRequest } from './acme-request.ts';
import {
  algorithmNames,
  isRecord,
  jsonOf,
  keyOfJwk,
  readJwk,
  readJws,
  unknownAlgorithm,
  verifyJws,
} from './jose.ts';

export interface UnprovedRequest {
  readonly body: Uint8Array;
  /** As the client must have signed it. */
  readonly url: string;
  readonly links: AcmeLinks;
  readonly names: readonly string[];
  readonly from: string;
  /** Who may sign it. */
  readonly signedBy: 'account' | 'key' | 'either';
}

/** A request from its bytes to who is proved to have sent it, once. RFC 8555 §6.2 to §6.5. */
export async function proveRequest(
  context: Pick<AcmeContext, 'store' | 'nonces' | 'config'>,
  asked: UnprovedRequest,
): Promise<({ readonly ok: true } & AcmeRequest) | AcmeProblem> {
  // 1. Its form.
  const jws = readJws(jsonOf(asked.body));
  if (!jws.ok) return jws;
  const { header } = jws;
  if (!algorithmNames.includes(header.alg)) return unknownAlgorithm(header.alg);

  // 2. Who signed it: a key for what may be asked without an account, or else an account.
  const who = header.kid === undefined ? 'key' : 'account';
  if (header.jwk === undefined && header.kid === undefined) {
    return problem('malformed', 'one of "jwk" and "kid" is needed');
  }
  if (asked.signedBy !== 'either' && asked.signedBy !== who) {
    const [wanted, found] = who === 'key' ? ['kid', 'jwk'] : ['jwk', 'kid'];
    return problem('malformed', `"${found}" is given, this resource wants "${wanted}"`);
  }
  // The nonce is spent in the same message to the ledger that asks for the account, where all but the signature is right.
  const isForHere = header.url === asked.url && header.nonce !== undefined;
  const [signer, isFresh] = await Promise.all([
    signerOf(context, header.kid, header.jwk, asked.links),
    isForHere && who === 'account' ? context.nonces.use(header.nonce ?? '') : undefined,
  ]);
  if (!signer.ok) return signer;

  // 3. By that key, of these bytes.
  const verified = verifyJws(jws, signer.publicKey);
  if (!verified.ok) return verified;

  // 4. For this resource (RFC 8555 §6.4) and for once (§6.5).
  if (header.url !== asked.url) {
    return problem(
      'unauthorized',
      `"url" is "${header.url.slice(0, 200)}", asked was "${asked.url}"`,
    );
  }
  if (header.nonce === undefined) return problem('badNonce', '"nonce" is missing');
  if (!(isFresh ?? (await context.nonces.use(header.nonce))))
    return problem('badNonce', 'the nonce is unknown, too old, or was used before');
  const { nonceRejectPercent, isStrict } = context.config.trials;
  if (randomInt(100) < nonceRejectPercent) {
    return problem('badNonce', 'the nonce is refused to try the client out');
  }
  if (signer.who.kind === 'account' && signer.who.account.status !== 'valid') {
    return problem('unauthorized', `the account is ${signer.who.account.status}`);
  }

  // 5. What it says.
  const payload = jws.payload.byteLength === 0 ? undefined : jsonOf(jws.payload);
  if (jws.payload.byteLength > 0 && !isRecord(payload)) {
    return problem('malformed', 'the payload is no JSON object');
  }
  if (isStrict && typeof (payload as { resource?: unknown } | undefined)?.resource === 'string') {
    return problem('malformed', 'the payload has "resource", which ACME has no more');
  }
  const { links, names, from } = asked;
  const said = payload as Readonly<Record<string, unknown>> | undefined;
  return { ok: true, links, names, from, jws, payload: said, signer: signer.who };
}

async function signerOf(
  { store }: Pick<AcmeContext, 'store'>,
  kid: string | undefined,
  jwk: unknown,
  links: AcmeLinks,
) {
  if (kid === undefined) {
    const read = readJwk(jwk);
    if (!read.ok) return read;
    return {
      ok: true as const,
      publicKey: read.key.key,
      who: { kind: 'key' as const, key: read.key },
    };
  }
  const prefix = links.account('');
  // RFC 8555 §6.2: the account's URL
  if (!kid.startsWith(prefix)) {
    const sides = `"kid" is "${kid.slice(0, 200)}", accounts begin with "${prefix}"`;
    return problem('malformed', sides);
  }
  const id = kid.slice(prefix.length);
  const account = id === '' ? undefined : await store.find('acme-account', id);
  if (account === undefined) {
    return problem('accountDoesNotExist', `no account "${kid.slice(0, 200)}"`);
  }
  const { value } = account;
  return {
    ok: true as const,
    publicKey: keyOfJwk(value.key),
    who: { kind: 'account' as const, account: value },
  };
}
