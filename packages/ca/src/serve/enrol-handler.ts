import { CountersignError, type Denial, denial } from '@countersign/base';
import {
  formatIssueResponse,
  isAboutRequest,
  isBearerEnrolRequest,
  type JoinToken,
  parseBearerEnrolRequest,
  parseEnrolRequest,
  parseJoinToken,
  parseJsonBody,
} from '@countersign/wire';
import type { Refusal } from '../issue.ts';
import { checkJoinToken } from '../issue-grant.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';

/** `POST /v1/enrol`: the authority's own flow; wrong tokens are counted, and who holds a right one is told what is wrong. */
export async function answerEnrol(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
  // Who guesses takes no place in line from others; who guessed while it waited is told within.
  const refused = refuseGuesser(context, call);
  if (refused !== undefined) return refused;
  const json = parseJsonBody(call.body, `${call.route.name} request`, call.route.maxBodyBytes);
  if (isBearerEnrolRequest(json)) return await enrolByBearer(context, call, json);
  const { left } = call;
  return await context.queue.serve({ left }, () => enrolByToken(context, call, json));
}

async function enrolByToken(context: ApiContext, call: ApiCall, json: unknown): Promise<ApiAnswer> {
  const { authority, guesses } = context;
  const refused = refuseGuesser(context, call);
  if (refused !== undefined) return refused;
  const address = addressOf(call);
  const answer = await enrolBy(json);
  if (answer.ok) return { ok: true, body: formatIssueResponse(authority.issueResponseOf(answer)) };
  // What is wrong with a request may be found before its token is looked at.
  const token = isAboutRequest(answer.code) ? tokenIn(json) : undefined;
  const held = token === undefined ? undefined : await checkJoinToken(token, authority);
  const isGuess = [answer, held].some((each) => each?.ok === false && isUnknown(each));
  if (isGuess && address !== undefined) guesses.failed(address);
  return held?.ok === true ? { ...answer, proved: true } : answer;

  async function enrolBy(json: unknown) {
    try {
      return await authority.enrol(parseEnrolRequest(json));
    } catch (thrown) {
      if (!(thrown instanceof CountersignError) || !thrown.code.startsWith('ERR_WIRE_'))
        throw thrown;
      return denial(thrown.code, thrown.message, thrown.fields) as Refusal;
    }
  }
}

/** Denials: ERR_API_GUESSES, of an address whose tokens were wrong too often. */
function refuseGuesser({ guesses }: ApiContext, call: ApiCall): Denial | undefined {
  const address = addressOf(call);
  const waitMs = address === undefined ? 0 : guesses.waitMs(address);
  if (waitMs === 0) return undefined;
  const detail = `too many wrong tokens from "${address}", the next is looked at in ${waitMs} ms`;
  return denial('ERR_API_GUESSES', detail, { address, waitMs });
}

function addressOf({ caller }: ApiCall): string | undefined {
  return caller.kind === 'anonymous' ? caller.address : undefined;
}

/** With a token that another issuer made: what cannot be verified counts as a guess. */
async function enrolByBearer(
  { authority, guesses, provisioners, queue }: ApiContext,
  call: ApiCall,
  json: unknown,
): Promise<ApiAnswer> {
  const { left } = call;
  const address = addressOf(call);
  const answer = await provisioners.enrol({ ...parseBearerEnrolRequest(json), left }, queue);
  if (answer.ok) return { ok: true, body: formatIssueResponse(authority.issueResponseOf(answer)) };
  const isGuess = unproved.some((prefix) => answer.code.startsWith(prefix));
  if (isGuess && address !== undefined) guesses.failed(address);
  return isGuess ? answer : { ...answer, proved: true };
}

const unproved = [
  'ERR_JWT_',
  'ERR_PROVISIONER_UNKNOWN',
  'ERR_PROVISIONER_TOKEN',
  'ERR_PROVISIONER_DOCUMENT',
] as const;

function isUnknown({ code }: Denial): boolean {
  return code === 'ERR_TOKEN_UNKNOWN';
}

/** Of a request that may be wrong in every other respect. */
function tokenIn(json: unknown): JoinToken | undefined {
  const token = (json as { readonly token?: unknown } | null)?.token;
  if (typeof token !== 'string') return undefined;
  try {
    return parseJoinToken(token);
  } catch {
    return undefined;
  }
}
