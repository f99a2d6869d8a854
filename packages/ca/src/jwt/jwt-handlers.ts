import { type Denial, denial } from '@countersign/base';
import { formatJwtSvidAnswer, parseJsonBody, parseJwtSvidOrder, routes } from '@countersign/wire';
import type { ApiAnswer, ApiCall } from '../serve/api-call.ts';
import type { ApiContext } from '../serve/api-context.ts';

/** What the routes about tokens do: issue one, and tell relying parties by which keys to verify it. */
export const jwtHandlers = {
  async jwtSvid({ authority }: ApiContext, call: ApiCall): Promise<ApiAnswer> {
    const { caller, route } = call;
    if (caller.kind !== 'peer') {
      const detail = `"${route.path}" is about the caller's own certificate, and none was shown`;
      return denial('ERR_API_CERTIFICATE_NEEDED', detail);
    }
    const json = parseJsonBody(call.body, `${route.name} request`, route.maxBodyBytes);
    const order = parseJwtSvidOrder(json);
    const issued = await authority.tokens.issue({ ...order, peer: caller.peer });
    if (!issued.ok) return issued;
    const { token, issuedAt, expiresAt } = issued;
    return { ok: true, body: formatJwtSvidAnswer({ token, issuedAt, expiresAt }) };
  },

  // RFC 7517 §5: what OIDC relying parties read; the SPIFFE bundle has the same keys under another `use`.
  async jwks({ authority }: ApiContext): Promise<ApiAnswer> {
    const own = authority.tokens.keys;
    if (own === undefined) return off('ca.yaml has no section jwt');
    await own.keep();
    const keys = own.publicKeys.map((key) => ({ ...key, use: 'sig' }));
    return { ok: true, body: JSON.stringify({ keys }) };
  },

  // OpenID Connect Discovery §3; what has to do with logging people in is not there to be used.
  openidConfiguration({ authority }: ApiContext): ApiAnswer {
    const { jwt } = authority.config;
    if (jwt?.issuer === undefined) return off('ca.yaml has no jwt.issuer');
    const { issuer, algorithm } = jwt;
    const document = {
      issuer,
      jwks_uri: `${issuer}${routes.jwks.path}`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [algorithm],
    };
    return { ok: true, body: JSON.stringify(document) };
  },
} as const;

function off(reason: string): Denial {
  return denial('ERR_JWT_OFF', reason);
}
