import { CountersignError, Secret } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { type JoinToken, parseJoinToken } from '@countersign/wire';
import { proveShown } from '../prove-shown.ts';
import { type Device, deviceOf } from './devices.ts';
import type { EstEntrance, EstLabel, EstUser } from './est-config.ts';
import type { EstContext } from './est-context.ts';
import { type EstHttp, header } from './est-http.ts';
import type { OperationName } from './est-operations.ts';
import { type EstRefusal, refusal, wrongCredentials } from './est-refusal.ts';

/** Who asks, by what was proved. */
export type EstCaller =
  | { readonly ok: true; readonly by: 'user'; readonly user: EstUser }
  /** It is redeemed, or refused, when it is used. */
  | { readonly ok: true; readonly by: 'token'; readonly token: JoinToken }
  /** With a certificate of this authority. */
  | { readonly ok: true; readonly by: 'certificate'; readonly peer: VerifiedPeer }
  | { readonly ok: true; readonly by: 'device'; readonly device: Device };

/** For logs, and what bounds are kept by. */
export function nameOfCaller(caller: EstCaller): string {
  if (caller.by === 'user') return `est:user/${caller.user.name}`;
  if (caller.by === 'token') return `est:token/${caller.token.id}`;
  if (caller.by === 'device') {
    return `est:device/${caller.device.rule.name}/${caller.device.leaf.serialHex}`;
  }
  const { spiffeId, serialHex } = caller.peer;
  return spiffeId?.toString() ?? `serial ${serialHex}`;
}

/**
 * RFC 7030 §3.2.3, §3.3.2: what the Authorization header says, where there is one; else the certificate of the
 * connection. A re-enrolment is by the certificate that it renews, whatever else is shown.
 *
 * @throws CountersignError ERR_EST_FILE
 */
export async function authenticate(
  context: EstContext,
  http: EstHttp,
  asked: { readonly operation: OperationName; readonly label: EstLabel },
): Promise<EstCaller | EstRefusal> {
  const authorization = header(http, 'authorization');
  const said =
    authorization === undefined ? undefined : await bySecret(context, http, authorization);
  if (said?.ok === false) return said;
  const isRenewal = asked.operation === 'simplereenroll';
  const caller =
    said === undefined || isRenewal ? await byCertificate(context, http, isRenewal) : said;
  if (!caller.ok) return caller;
  const entrance = entranceOf(caller);
  const { name: label } = asked.label;
  if (entrance?.labels === undefined) return caller;
  if (label !== undefined && entrance.labels.includes(label)) return caller;
  const sides = `"${entrance.name}" may come by ${entrance.labels.join(', ') || 'no label'}, not by "${label ?? ''}"`;
  return refusal('entrance', 'not by this label', { operator: sides });
}

function entranceOf(caller: EstCaller): EstEntrance | undefined {
  if (caller.by === 'user') return caller.user;
  return caller.by === 'device' ? caller.device.rule : undefined;
}

/** After a refusal of the authority's too: a token is looked at there. */
export function countGuess({ guesses }: EstContext, { from }: EstHttp): void {
  guesses.failed(from);
}

async function bySecret(
  context: EstContext,
  http: EstHttp,
  authorization: string,
): Promise<EstCaller | EstRefusal> {
  const { guesses, passwords, config } = context;
  // 1. Not where too many were wrong.
  const waitMs = guesses.waitMs(http.from);
  if (waitMs > 0) {
    const seconds = String(Math.ceil(waitMs / 1000));
    return refusal('rate', 'too many wrong credentials, try again later', {
      operator: `too many wrong credentials from "${http.from}", again in ${seconds} s`,
      headers: { 'Retry-After': seconds },
    });
  }
  const wrong = (operator: string): EstRefusal => {
    guesses.failed(http.from);
    return wrongCredentials(operator);
  };

  // 2. A one-time token, by itself or in the place of a password.
  const bearer = /^Bearer +(\S{1,500})$/i.exec(authorization)?.[1];
  const basic = readBasic(authorization);
  const token = tokenIn(bearer ?? basic?.password.reveal());
  if (token !== undefined) return { ok: true, by: 'token', token };
  if (basic === undefined) return wrong('the Authorization header has neither user nor token');

  // 3. A user, whether or not there is one of that name.
  const user = config.users.find(({ name }) => name === basic.name);
  const isRight = await passwords.check(user, basic.password);
  if (isRight === undefined) {
    const headers = { 'Retry-After': '5' };
    return refusal('internal', 'too many are logging in, try again later', { headers });
  }
  if (isRight && user !== undefined) return { ok: true, by: 'user', user };
  const shown = basic.name.slice(0, 64);
  return wrong(user === undefined ? `there is no user "${shown}"` : `wrong password of "${shown}"`);
}

async function byCertificate(
  { authority, config, clock }: EstContext,
  http: EstHttp,
  isRenewal: boolean,
): Promise<EstCaller | EstRefusal> {
  const chain = http.shown();
  if (chain.length === 0)
    return wrongCredentials('neither credentials nor a certificate are shown');
  const at = clock.now();
  const verified = proveShown(authority, chain, at);
  if (verified.ok) {
    // RFC 7030 §3.3.2; the ledger refuses a revoked one in any case, this tells it from a wrong name.
    const { status } = await authority.ledger.certificateStatus(verified.peer.serialHex);
    if (status !== 'revoked') return { ok: true, by: 'certificate', peer: verified.peer };
    return wrongCredentials(`certificate "${verified.peer.serialHex}" is revoked`);
  }
  if (isRenewal) {
    return wrongCredentials(`no certificate of this authority is shown: ${verified.detail}`);
  }
  const device = await deviceOf(config.devices, chain, at);
  if (typeof device !== 'string') return { ok: true, by: 'device', device };
  return wrongCredentials(`${verified.detail}; as a device: ${device}`);
}

// RFC 7617 §2
function readBasic(
  authorization: string,
): { readonly name: string; readonly password: Secret<string> } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=]{1,2000})$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) return undefined;
  return { name: text.slice(0, colon), password: new Secret(text.slice(colon + 1)) };
}

function tokenIn(text: string | undefined): JoinToken | undefined {
  if (text === undefined) return undefined;
  try {
    return parseJoinToken(text);
  } catch (thrown) {
    if (thrown instanceof CountersignError) return undefined;
    throw thrown;
  }
}
