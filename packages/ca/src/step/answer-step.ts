import { randomBytes } from 'node:crypto';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type Log,
  messageOf,
} from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { encodePem, fingerprintOf } from '@countersign/x509';
import type { Authority } from '../authority.ts';
import type { Issued } from '../issue.ts';
import { proveShown } from '../prove-shown.ts';
import type { ProvisionerDesk } from '../provisioners/provisioner-desk.ts';
import { judgePeer } from '../serve/authorize-caller.ts';
import type { GuessLimiter } from '../serve/guess-limiter.ts';
import type { IssueLine } from '../serve/issue-line.ts';
import { jsonReply, type StepHttp, type StepReply } from './step-http.ts';
import { encryptedKeyBy, listProvisioners } from './step-provisioners.ts';
import { refusalReply } from './step-refusal.ts';
import { readRekey, readRevoke, readSign } from './step-request.ts';

export interface StepContext {
  readonly authority: Authority;
  readonly desk: ProvisionerDesk;
  readonly guesses: GuessLimiter;
  /** Orders wait here among all others. */
  readonly line: IssueLine;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** `isTold`: whoever asks has proved who it is, and hears why. */
type Refused = Denial & { readonly isTold?: boolean };
type Answer = StepReply | Refused;
type Handler = (context: StepContext, http: StepHttp, argument: string) => Answer | Promise<Answer>;

const mostOctets = 64 * 1024;

/** Paths of step-ca that its clients call for X.509, at the root and below `/1.0`. */
const routes: readonly (readonly [method: string, path: RegExp, handler: Handler])[] = [
  ['GET', /^\/health$/, () => jsonReply(200, { status: 'ok' })],
  ['GET', /^\/version$/, ({ version }) => jsonReply(200, { version })],
  ['GET', /^\/root\/([0-9A-Fa-f-]{1,100})$/, rootOf],
  ['GET', /^\/(?:roots|federation)$/, (context) => jsonReply(200, { crts: rootsOf(context) })],
  ['GET', /^\/roots\.pem$/, rootsAsPem],
  ['GET', /^\/provisioners$/, provisioners],
  ['GET', /^\/provisioners\/([^/]{1,200})\/encrypted-key$/, encryptedKey],
  ['POST', /^\/sign$/, sign],
  ['POST', /^\/renew$/, renew],
  ['POST', /^\/rekey$/, rekey],
  ['POST', /^\/revoke$/, revoke],
];

export function findStepRoute(url: string) {
  const path = (url.split('?')[0] ?? '').replace(/^\/1\.0(?=\/)/, '');
  return routes.flatMap(([method, pattern, handler]) => {
    const match = pattern.exec(path);
    return match === null ? [] : [{ method, handler, argument: match[1] ?? '' }];
  });
}

/** One request, answered in step-ca's words; what is refused is in the log, and in the audit trail by the flows. */
export async function answerStep(context: StepContext, http: StepHttp): Promise<StepReply> {
  const { log } = context;
  const id = randomBytes(9).toString('base64url');
  const found = findStepRoute(http.url).find(({ method }) => method === http.method);
  try {
    const answer: Answer =
      found === undefined
        ? denial('ERR_STEP_PATH', `step request: ${http.method} is not answered there`)
        : await found.handler(context, http, found.argument);
    if (!('detail' in answer)) return answer;
    log.warn({ id, code: answer.code, detail: answer.detail }, 'step request refused');
    return refusalReply(answer, id, answer.isTold === true || answer.code.startsWith('ERR_STEP_'));
  } catch (thrown) {
    const isKnown = thrown instanceof CountersignError;
    if (isKnown && thrown.code === 'ERR_WIRE_TOO_LARGE') {
      return jsonReply(413, { status: 413, message: `more than ${mostOctets} octets` });
    }
    log.error({ id, err: thrown }, `step request failed: ${messageOf(thrown)}`);
    const code = isKnown ? thrown.code : 'ERR_INTERNAL';
    return jsonReply(503, { status: 503, message: `${code}, id ${id}` });
  }
}

function rootOf({ authority }: StepContext, _: StepHttp, argument: string): Answer {
  const wanted = argument.replaceAll('-', '').toLowerCase();
  const root = authority.bundle().authorities.find((each) => fingerprintOf(each) === wanted);
  if (root !== undefined) return jsonReply(200, { ca: encodePem('CERTIFICATE', root.raw) });
  return denial('ERR_STEP_PATH', `step request: no root has the fingerprint "${wanted}"`);
}

function rootsOf({ authority }: StepContext): readonly string[] {
  return authority.bundle().authorities.map(({ raw }) => encodePem('CERTIFICATE', raw));
}

function rootsAsPem(context: StepContext): StepReply {
  const headers = { 'Content-Type': 'application/x-pem-file' };
  return { status: 200, headers, body: rootsOf(context).join('') };
}

async function provisioners({ authority, log }: StepContext): Promise<Answer> {
  const list = await listProvisioners(authority.config.provisioners, log);
  return jsonReply(200, { provisioners: list, nextCursor: '' });
}

async function encryptedKey({ authority }: StepContext, _: StepHttp, argument: string) {
  const keyId = decoded(argument);
  const key = keyId && (await encryptedKeyBy(authority.config.provisioners, keyId));
  if (key) return jsonReply(200, { key });
  const why = 'no provisioner has an "encrypted_key_file" for that key: give --key';
  return denial('ERR_STEP_PATH', `step request: ${why}`);
}

/** Clients escape what a path segment may not have; undefined where that is no text. */
function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** A certificate for a token of a provisioner. */
async function sign(context: StepContext, http: StepHttp): Promise<Answer> {
  const request = readSign(await http.body(mostOctets), context.clock.now());
  if (!request.ok) return request;
  const { csr, token, ttlMs } = request;
  return await byToken(context, http, async () => {
    const { left } = http;
    const issued = await context.desk.enrol({ token, csr, ttlMs, left }, context.line);
    return issued.ok ? created(issued) : issued;
  });
}

/** For the key of the certificate that is shown: the handshake proved it. */
async function renew({ authority, line, clock }: StepContext, http: StepHttp): Promise<Answer> {
  const shown = await peerOf(authority, http, clock.now());
  if (!shown.ok) return shown;
  const issued = await line.serve(orderOf(shown.peer, http), () =>
    authority.renew({ peer: shown.peer }),
  );
  return issued.ok ? created(issued) : { ...issued, isTold: true };
}

async function rekey({ authority, line, clock }: StepContext, http: StepHttp): Promise<Answer> {
  const shown = await peerOf(authority, http, clock.now());
  if (!shown.ok) return shown;
  const request = readRekey(await http.body(mostOctets));
  if ('detail' in request) return request;
  const issued = await line.serve(orderOf(shown.peer, http), () =>
    authority.renew({ peer: shown.peer, csr: request.csr }),
  );
  return issued.ok ? created(issued) : { ...issued, isTold: true };
}

/** Whose certificate ends soon comes first. */
function orderOf({ serialHex: key, notAfter: endsAt }: VerifiedPeer, { left }: StepHttp) {
  return { key, endsAt, ...(left && { left }) };
}

/** By a token for that serial number, or by the certificate itself. */
async function revoke(context: StepContext, http: StepHttp): Promise<Answer> {
  const { authority, clock } = context;
  const request = readRevoke(await http.body(mostOctets));
  if (!request.ok) return request;
  const { serialHex, token, reason } = request;
  const order = { by: 'serial', value: serialHex, reason, waitMs: 0 } as const;
  if (token === undefined) {
    const shown = await peerOf(authority, http, clock.now());
    if (!shown.ok) return shown;
    if (shown.peer.serialHex !== serialHex) {
      const sides = `serial "${serialHex}", the certificate that is shown has "${shown.peer.serialHex}"`;
      return { ...denial('ERR_STEP_REQUEST', `step request: revoke ${sides}`), isTold: true };
    }
    const revoked = await authority.revoke(order, { kind: 'door', name: `serial ${serialHex}` });
    return revoked.ok ? jsonReply(200, { status: 'ok' }) : { ...revoked, isTold: true };
  }
  return await byToken(context, http, async () => {
    const entitled = await context.desk.entitledToRevoke({ token, serialHex });
    if (!entitled.ok) return entitled;
    const revoked = await authority.revoke(order, { kind: 'door', name: entitled.caller });
    return revoked.ok ? jsonReply(200, { status: 'ok' }) : { ...revoked, isTold: true };
  });
}

/** Wrong tokens of an address are counted, as where join tokens go. */
async function byToken(
  { guesses }: StepContext,
  { from: address }: StepHttp,
  work: () => Promise<Answer>,
): Promise<Answer> {
  const waitMs = guesses.waitMs(address);
  if (waitMs > 0) {
    const detail = `too many wrong tokens from "${address}", the next is looked at in ${waitMs} ms`;
    return denial('ERR_API_GUESSES', detail, { retryAfterS: Math.ceil(waitMs / 1000) });
  }
  const answer = await work();
  if (!('detail' in answer)) return answer;
  const isGuess = unproved.some((prefix) => answer.code.startsWith(prefix));
  if (isGuess) guesses.failed(address);
  return isGuess ? answer : { ...answer, isTold: true };
}

const unproved = [
  'ERR_JWT_',
  'ERR_PROVISIONER_UNKNOWN',
  'ERR_PROVISIONER_TOKEN',
  'ERR_PROVISIONER_DOCUMENT',
] as const;

async function peerOf(
  authority: Authority,
  http: StepHttp,
  now: number,
): Promise<{ readonly ok: true; readonly peer: VerifiedPeer } | Refused> {
  const chain = http.shown();
  if (chain.length === 0) {
    return denial('ERR_API_CERTIFICATE_NEEDED', 'step request: no certificate is shown');
  }
  const proved = proveShown(authority, chain, now);
  if (!proved.ok) return proved;
  const judged = await judgePeer(proved.peer, { ledger: authority.ledger, now });
  return judged.ok ? proved : { ...judged, isTold: true };
}

function created({ chain }: Issued): StepReply {
  const certChain = chain.map((der) => encodePem('CERTIFICATE', der));
  return jsonReply(201, { crt: certChain[0], ca: certChain[1], certChain });
}
