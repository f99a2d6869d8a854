import { type Clock, CountersignError, type Log, messageOf, systemClock } from '@countersign/base';
import { type Certificate, certificatesFromPem } from '@countersign/x509';
import { warningLog } from '../../live/warning-log.ts';
import { isSelfSigned } from '../ask-issuer.ts';
import type { Issuer, IssuerAnswer, IssuerOrder, RootsSource } from '../issuer.ts';
import { checkIssuerUrl, IssuerHttp } from '../issuer-http.ts';
import { commonNameOf } from '../named-request.ts';
import { type VaultAuth, VaultSession } from './vault-session.ts';

export interface VaultIssuerOptions {
  /** Of Vault or OpenBao: `https://HOST:PORT`. */
  readonly url: string;
  /** Where the PKI engine is mounted; `pki` unless given. */
  readonly mount?: string | undefined;
  /** Whose rules apply to what is signed. */
  readonly role: string;
  /** Of Vault's namespaces. */
  readonly namespace?: string | undefined;
  readonly auth: VaultAuth;
  /** Who may vouch for its TLS certificate; the roots that Node brings unless given. */
  readonly serverRoots?: RootsSource | undefined;
  /** For each call. 15,000 unless given. */
  readonly timeoutMs?: number | undefined;
  readonly clock?: Clock;
  readonly log?: Log;
}

/**
 * The PKI engine of Vault or OpenBao: `POST /v1/MOUNT/sign/ROLE`. The role has to admit the names: `allowed_uri_sans` for
 * the SPIFFE ID, and `require_cn=false` where there is no DNS name.
 *
 * @throws CountersignError ERR_ISSUER_CONFIG
 */
export function vaultIssuer(options: VaultIssuerOptions): Issuer {
  const { mount = 'pki', role, namespace, auth } = options;
  const { clock = systemClock, log = warningLog } = options;
  const title = `Vault at "${options.url}"`;
  const url = checkIssuerUrl(options.url, title).href.replace(/\/+$/, '');
  const { serverRoots, timeoutMs } = options;
  const http = new IssuerHttp({ title, serverRoots, timeoutMs, detailOf: vaultDetail });
  const headers = {
    // What a page in a browser could not send.
    'x-vault-request': 'true',
    ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
  };
  const session = new VaultSession({ http, url, headers, auth, clock, log });

  async function sign(order: IssuerOrder): Promise<unknown> {
    const { names, ttlMs, signal } = order;
    const token = await session.token(signal);
    const commonName = commonNameOf(names);
    const pem = Buffer.from(order.csr)
      .toString('base64')
      .match(/.{1,64}/g)
      ?.join('\n');
    const reply = await http.call({
      attempted: `sign with role "${role}"`,
      method: 'POST',
      url: `${url}/v1/${mount}/sign/${encodeURIComponent(role)}`,
      headers: {
        ...headers,
        'x-vault-token': token.reveal(),
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        csr: `-----BEGIN CERTIFICATE REQUEST-----\n${pem}\n-----END CERTIFICATE REQUEST-----\n`,
        format: 'pem',
        ...(commonName === undefined ? {} : { common_name: commonName }),
        ...(names.dns.length === 0 ? {} : { alt_names: names.dns.join(',') }),
        ...(names.ip.length === 0 ? {} : { ip_sans: names.ip.join(',') }),
        ...(names.spiffeId === undefined ? {} : { uri_sans: names.spiffeId }),
        ...(ttlMs === undefined ? {} : { ttl: `${Math.ceil(ttlMs / 1000)}s` }),
      }),
      signal,
    });
    return reply.json;
  }

  return {
    title,
    async issue(order) {
      try {
        return answerOf(await sign(order), title);
      } catch (thrown) {
        if (!isForbidden(thrown)) throw thrown;
        // The token may have been revoked, or replaced: another is tried once.
        session.forget();
        return answerOf(await sign(order), title);
      }
    },
    close: () => session.close(),
  };
}

/** The certificates of an answer, and those of them that are roots. */
export function answerOf(json: unknown, title: string): IssuerAnswer {
  const data = Object((json as { data?: unknown } | undefined)?.data) as {
    certificate?: unknown;
    ca_chain?: unknown;
    issuing_ca?: unknown;
  };
  try {
    const above = Array.isArray(data.ca_chain) ? data.ca_chain : [data.issuing_ca ?? ''];
    const [leaf] = certificatesFromPem(String(data.certificate));
    if (leaf === undefined) throw new Error('no certificate in it');
    const signers: Certificate[] = above.flatMap((pem) => certificatesFromPem(String(pem)));
    return { chain: [leaf, ...signers], roots: signers.filter(isSelfSigned) };
  } catch (thrown) {
    const message = `answer of ${title}: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_ANSWER', message, { cause: thrown });
  }
}

function isForbidden(thrown: unknown): boolean {
  return (
    thrown instanceof CountersignError &&
    thrown.code === 'ERR_ISSUER_REFUSED' &&
    thrown.fields.status === 403
  );
}

/** Vault: `{"errors": ["…"]}`. */
export function vaultDetail(json: unknown): string | undefined {
  const { errors } = Object(json) as { errors?: unknown };
  return Array.isArray(errors) ? errors.map(String).join('; ') : undefined;
}
