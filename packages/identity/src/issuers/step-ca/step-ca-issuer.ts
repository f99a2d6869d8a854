import { hash, randomBytes } from 'node:crypto';
import { type Clock, CountersignError, messageOf, systemClock } from '@countersign/base';
import { parseFingerprint } from '@countersign/wire';
import { type Certificate, certificatesFromPem, encodePem, fingerprintOf } from '@countersign/x509';
import type { Issuer, IssuerAnswer, IssuerOrder, RootsSource, SecretSource } from '../issuer.ts';
import { believeNothing, checkIssuerUrl, IssuerHttp, type IssuerReply } from '../issuer-http.ts';
import { signJws } from '../jws.ts';
import { commonNameOf } from '../named-request.ts';
import { readProvisionerKey } from './provisioner-key.ts';

export interface StepCaIssuerOptions {
  /** `https://HOST:PORT`. */
  readonly url: string;
  /** SHA-256 of the root's DER, as `step ca init` printed it: it is fetched by that, and vouches for the server. */
  readonly fingerprint: string;
  readonly credential: StepCaCredential;
  /** For each call. 15,000 unless given. */
  readonly timeoutMs?: number | undefined;
  readonly clock?: Clock;
}

/** What vouches for the first certificate, and for one after the last has ended; in between, that one vouches. */
export type StepCaCredential =
  | {
      /** Name of a JWK provisioner. */
      readonly provisioner: string;
      /** Its private key: a JWK, or encrypted as `step` writes it. */
      readonly keyFile: string;
      readonly password?: SecretSource | undefined;
    }
  /** A one-time token that somebody else made: it is good for one certificate. */
  | { readonly token: SecretSource };

/** How long our one-time tokens hold. */
const tokenSeconds = 300;

/**
 * step-ca's own API: `/1.0/sign` with a one-time token for the first certificate, `/1.0/rekey` over mTLS for every later one,
 * so that each has a key of its own.
 *
 * @throws CountersignError ERR_ISSUER_CONFIG, ERR_WIRE_FINGERPRINT
 */
export function stepCaIssuer(options: StepCaIssuerOptions): Issuer {
  const { clock = systemClock, credential, timeoutMs } = options;
  const title = `step-ca at "${options.url}"`;
  const url = checkIssuerUrl(options.url, title).href.replace(/\/+$/, '');
  const fingerprint = parseFingerprint(options.fingerprint);
  let pinned: Certificate | undefined;
  const serverRoots: RootsSource = async () => (pinned === undefined ? [] : [pinned]);
  const http = new IssuerHttp({ title, serverRoots, timeoutMs, detailOf });

  async function learnRoot(signal: AbortSignal): Promise<void> {
    if (pinned !== undefined) return;
    const reply = await http.call({
      ...{ attempted: 'read the root', method: 'GET', url: `${url}/root/${fingerprint}`, signal },
      trust: believeNothing,
    });
    const [root] = certificatesIn((reply.json as { ca?: unknown } | undefined)?.ca, title);
    const found = root === undefined ? 'none' : fingerprintOf(root);
    if (found === fingerprint) pinned = root;
    else {
      const message = `the root of ${title} is ${found}, pinned is ${fingerprint}`;
      throw new CountersignError('ERR_ISSUER_ROOT', message, { fields: { found, fingerprint } });
    }
  }

  async function roots(signal: AbortSignal): Promise<readonly Certificate[]> {
    const asked = { attempted: 'read the roots', method: 'GET', url: `${url}/roots` } as const;
    const reply = await http.call({ ...asked, signal });
    const { crts } = Object(reply.json) as { crts?: unknown };
    return Array.isArray(crts) ? crts.flatMap((each) => certificatesIn(each, title)) : [];
  }

  async function sign(order: IssuerOrder): Promise<IssuerReply> {
    const { signal, ttlMs } = order;
    const ott = 'token' in credential ? await credential.token() : await makeToken(order);
    const secret = typeof ott === 'string' ? ott : ott.reveal();
    const until = ttlMs === undefined ? {} : { notAfter: `${Math.ceil(ttlMs / 1000)}s` };
    return await http.call({
      ...{ attempted: 'sign', method: 'POST', url: `${url}/1.0/sign`, signal },
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ csr: csrPem(order), ott: secret, ...until }),
    });
  }

  async function makeToken({ names, csr }: IssuerOrder): Promise<string> {
    if ('token' in credential) throw new TypeError('there is no key to make a token with');
    const { provisioner, keyFile, password } = credential;
    const { key, kid } = await readProvisionerKey(keyFile, password);
    const seconds = Math.floor(clock.now() / 1000);
    const sans = [...names.dns, ...names.ip, ...(names.spiffeId ?? '').split(' ')].filter(Boolean);
    const claims = {
      ...{ iss: provisioner, aud: `${url}/1.0/sign`, sub: commonNameOf(names) ?? sans[0], sans },
      ...{ iat: seconds, nbf: seconds - 30, exp: seconds + tokenSeconds },
      ...{ jti: randomBytes(32).toString('hex'), sha: fingerprint },
      // Good for this request alone.
      cnf: { 'x5rt#S256': hash('sha256', csr, 'base64url') },
    };
    const made = signJws(key, { kid, typ: 'JWT' }, JSON.stringify(claims));
    return `${made.protected}.${made.payload}.${made.signature}`;
  }

  async function rekey(order: IssuerOrder): Promise<IssuerReply | undefined> {
    const { held, signal } = order;
    const isGood = held !== undefined && clock.now() < held.chain[0].notAfter;
    if (!isGood) return undefined;
    try {
      return await http.call({
        ...{ attempted: 'rekey', method: 'POST', url: `${url}/1.0/rekey`, signal },
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ csr: csrPem(order) }),
        credential: held,
      });
    } catch (thrown) {
      // Such as one that was revoked, or whose provisioner renews none: who has the key may ask anew.
      const isRefused = (thrown as { code?: unknown }).code === 'ERR_ISSUER_REFUSED';
      if (isRefused && 'keyFile' in credential) return undefined;
      throw thrown;
    }
  }

  return {
    title,
    async issue(order) {
      await learnRoot(order.signal);
      const reply = (await rekey(order)) ?? (await sign(order));
      return { chain: chainOf(reply, title), roots: await roots(order.signal) };
    },
  };
}

function csrPem({ csr }: IssuerOrder): string {
  return encodePem('CERTIFICATE REQUEST', csr);
}

function chainOf({ json }: IssuerReply, title: string): IssuerAnswer['chain'] {
  const { crt, ca, certChain } = Object(json) as Record<string, unknown>;
  const parts = Array.isArray(certChain) ? certChain : [crt, ca ?? ''];
  return parts.flatMap((each) => certificatesIn(each, title));
}

function certificatesIn(pem: unknown, title: string): readonly Certificate[] {
  try {
    return certificatesFromPem(String(pem ?? ''));
  } catch (thrown) {
    const message = `answer of ${title}: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_ANSWER', message, { cause: thrown });
  }
}

/** step-ca: `{"status": 403, "message": "…"}`. */
function detailOf(json: unknown): string | undefined {
  const { message } = Object(json) as { message?: unknown };
  return typeof message === 'string' ? message : undefined;
}
