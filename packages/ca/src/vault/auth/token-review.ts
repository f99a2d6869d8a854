import { type Denial, denial } from '@countersign/base';
import type { GuardedRequests } from '../../bearer/guarded-request.ts';

/** A service account of a cluster. */
export interface Account {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface Review {
  readonly host: string;
  readonly ca: string | undefined;
  /** Who asks; a secret. */
  readonly reviewer: string;
  /** What is asked about; a secret. */
  readonly jwt: string;
  /** What it must be for; empty: the cluster's own. */
  readonly audience: string;
}

/**
 * What a cluster says of a token (authentication.k8s.io/v1, TokenReview).
 *
 * Denials: ERR_VAULT_LOGIN. @throws CountersignError ERR_JWT_KEYS where it cannot be asked
 */
export async function reviewToken(
  requests: GuardedRequests,
  { host, ca, reviewer, jwt, audience }: Review,
): Promise<{ readonly ok: true; readonly account: Account } | Denial> {
  const { status, text } = await requests.ask({
    url: `${host.replace(/\/+$/, '')}/apis/authentication.k8s.io/v1/tokenreviews`,
    method: 'POST',
    ca,
    headers: { authorization: `Bearer ${reviewer}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: jwt, ...(audience !== '' && { audiences: [audience] }) },
    }),
  });
  if (status !== 200 && status !== 201)
    return no(`the cluster answered ${status} to a token review`);
  let said: Readonly<Record<string, unknown>>;
  try {
    said = Object((JSON.parse(text) as { status?: unknown }).status);
  } catch {
    return no('the cluster answered a token review with what is no JSON');
  }
  if (said.authenticated !== true) return no('the cluster does not know the token');
  if (audience !== '' && !([said.audiences ?? []].flat() as unknown[]).includes(audience)) {
    return no(`the cluster does not say that the token is for "${audience}"`);
  }
  const user = Object(said.user) as { readonly username?: unknown; readonly uid?: unknown };
  const [, namespace, name] =
    /^system:serviceaccount:([A-Za-z0-9.-]{1,253}):([A-Za-z0-9.-]{1,253})$/.exec(
      String(user.username),
    ) ?? [];
  if (namespace === undefined || name === undefined)
    return no('the token is of no service account');
  return { ok: true, account: { namespace, name, uid: String(user.uid ?? '') } };
}

function no(detail: string): Denial {
  return denial('ERR_VAULT_LOGIN', detail);
}
