import { type Clock, type Log, systemClock, toHex } from '@countersign/base';
import type { IntermediateSigner } from '@countersign/spiffe';
import { encodePem } from '@countersign/x509';
import { warningLog } from '../../live/warning-log.ts';
import type { RootsSource } from '../issuer.ts';
import { checkIssuerUrl, IssuerHttp } from '../issuer-http.ts';
import { answerOf, vaultDetail } from './vault-issuer.ts';
import { type VaultAuth, VaultSession } from './vault-session.ts';

export interface VaultSuperiorOptions {
  /** Of Vault or OpenBao: `https://HOST:PORT`. */
  readonly url: string;
  /** Where the PKI engine is mounted; `pki` unless given. */
  readonly mount?: string | undefined;
  /** Which of the mount's issuers signs; its default unless given. */
  readonly issuer?: string | undefined;
  readonly namespace?: string | undefined;
  readonly auth: VaultAuth;
  readonly serverRoots?: RootsSource | undefined;
  /** For each call. 15,000 unless given. */
  readonly timeoutMs?: number | undefined;
  readonly clock?: Clock;
  readonly log?: Log;
}

/**
 * Vault or OpenBao above an authority of ours: `sign-intermediate` of the PKI engine, with the key identifier that the
 * authority's own certificates name.
 *
 * @throws CountersignError ERR_ISSUER_CONFIG
 */
export function vaultSuperior(options: VaultSuperiorOptions): IntermediateSigner {
  const { mount = 'pki', issuer = 'default', namespace, auth, serverRoots, timeoutMs } = options;
  const { clock = systemClock, log = warningLog } = options;
  const title = `Vault at "${options.url}"`;
  const url = checkIssuerUrl(options.url, title).href.replace(/\/+$/, '');
  const http = new IssuerHttp({ title, serverRoots, timeoutMs, detailOf: vaultDetail });
  const headers = {
    'x-vault-request': 'true',
    ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
  };
  const session = new VaultSession({ http, url, headers, auth, clock, log });
  return {
    title,
    async sign({ csr, commonName, subjectKeyId, pathLen, notAfter, signal }) {
      const token = await session.token(signal);
      const call = {
        attempted: 'sign an intermediate',
        method: 'POST',
        url: `${url}/v1/${mount}/issuer/${encodeURIComponent(issuer)}/sign-intermediate`,
      } as const;
      try {
        const { json } = await http.call({
          ...call,
          headers: {
            ...headers,
            'x-vault-token': token.reveal(),
            'content-type': 'application/json',
          },
          body: JSON.stringify({
            csr: encodePem('CERTIFICATE REQUEST', csr),
            format: 'pem',
            common_name: commonName,
            // Subject and usages of the request, so that names below it find it.
            use_csr_values: true,
            max_path_length: pathLen,
            not_after: new Date(notAfter).toISOString(),
            ...(subjectKeyId === undefined ? {} : { skid: toHex(subjectKeyId) }),
          }),
          signal,
        });
        return answerOf(json, title);
      } catch (thrown) {
        session.forget();
        throw thrown;
      }
    },
    close: () => session.close(),
  };
}
