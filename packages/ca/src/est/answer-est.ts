import { randomBytes } from 'node:crypto';
import { CountersignError, messageOf } from '@countersign/base';
import { buildCertsOnly } from '@countersign/x509';
import { whileAskedBy } from '../ledger/asked.ts';
import { authenticate, nameOfCaller } from './authenticate.ts';
import { caCertificates } from './ca-certificates.ts';
import { wrongWithBinding } from './channel-binding.ts';
import { csrAttributes } from './csr-attributes.ts';
import { answerOf, certsOnlyType, type EstAnswer } from './encoded-answer.ts';
import { enrol } from './enrol.ts';
import type { EstCall } from './est-call.ts';
import type { EstLabel } from './est-config.ts';
import type { EstContext } from './est-context.ts';
import type { EstHttp, EstReply } from './est-http.ts';
import { isOperation, type OperationName, operations } from './est-operations.ts';
import { type EstRefusal, refusal } from './est-refusal.ts';
import { maxBodyBytes, readEstRequest } from './read-request.ts';
import { serverKeygen } from './server-keygen.ts';

/** RFC 7030 §3.2.2 */
export const estPath = '/.well-known/est';

/** One request of an EST client from its head to its answer. Rejects only with what broke reading its body. */
export async function answerEst(context: EstContext, http: EstHttp): Promise<EstReply> {
  const id = randomBytes(9).toString('base64url');
  const asked = { by: 'anonymous' };
  let answer: EstAnswer | EstRefusal;
  try {
    answer = await stepByStep(context, http, asked);
  } catch (thrown) {
    answer = refusalOfThrown(context, thrown, id);
  }
  const common = { 'Cache-Control': 'no-store' };
  if (answer.ok) {
    const { status = 200, headers, body } = answer;
    return { status, headers: { ...headers, ...common }, body };
  }
  tell(context, answer, { id, by: asked.by, http });
  const { status, told, headers } = answer;
  // RFC 7030 §4.2.3: for people; the id is what an operator looks up
  const body = `${told} (${id})\n`;
  const type = { 'Content-Type': 'text/plain; charset=utf-8' };
  return { status, headers: { ...type, ...headers, ...common }, body };
}

async function stepByStep(
  context: EstContext,
  http: EstHttp,
  asked: { by: string },
): Promise<EstAnswer | EstRefusal> {
  const { config, requests } = context;
  const { from } = http;

  // 1. Which operation, under which label.
  const target = targetOf(context, http);
  if (!target.ok) return target;
  const { operation, label } = target;
  if (operation === 'fullcmc') {
    return refusal('unsupported', 'fullcmc is not done here, use simpleenroll');
  }
  if (operation === 'cacerts') return caCertificates(context, label);
  if (operation === 'csrattrs') return csrAttributes(context, label);
  if (operation === 'serverkeygen' && !config.serverKeygen) {
    return refusal('path', 'keys are not made here', { operator: 'est.server_keygen is not true' });
  }

  // 2. Who asks: a stranger's request is read, so that the connection goes on, and not looked at.
  const body = await http.body(maxBodyBytes);
  const caller = await authenticate(context, http, { operation, label });
  if (!caller.ok) return caller;
  asked.by = nameOfCaller(caller);
  const waitSeconds = caller.by === 'token' ? undefined : requests.take(asked.by);
  if (waitSeconds !== undefined) {
    const headers = { 'Retry-After': String(waitSeconds) };
    return refusal('rate', 'too many requests, try again later', { headers });
  }

  // 3. The request, linked to this connection where it says so.
  const read = readEstRequest(http, body);
  if (!read.ok) return read;
  const { csr } = read;
  const unlinked = wrongWithBinding(csr, config.channelBinding, http.binding);
  if (unlinked !== undefined) return unlinked;

  // 4. The certificate, by the authority's one flow; the audit trail has who asked, from where.
  const call: EstCall = { http, label, caller, csr };
  return await whileAskedBy({ by: asked.by, from }, async () => {
    if (operation === 'serverkeygen') return serverKeygen(context, call);
    const issued = await enrol(context, call, csr.raw);
    // RFC 7030 §4.2.3: the certificate alone
    return issued.ok ? answerOf(certsOnlyType, buildCertsOnly([issued.chain[0]])) : issued;
  });
}

interface Target {
  readonly ok: true;
  readonly operation: OperationName;
  readonly label: EstLabel;
}

function targetOf({ config }: EstContext, { url, method }: EstHttp): Target | EstRefusal {
  const [path = ''] = url.slice(estPath.length + 1).split('?');
  const segments = path.split('/');
  const name = segments.at(-1) ?? '';
  const written = segments.length === 2 ? segments[0] : undefined;
  const label =
    written === undefined ? config.unlabelled : config.labels.find((each) => each.name === written);
  if (segments.length > 2 || !isOperation(name) || label === undefined) {
    const shown = path.slice(0, 200);
    return refusal('path', 'no such operation or label', { operator: `there is no "${shown}"` });
  }
  const wanted = operations[name].method;
  if (method === wanted || (method === 'HEAD' && wanted === 'GET')) {
    return { ok: true, operation: name, label };
  }
  return refusal('method', `${name} is asked for by ${wanted}`, { headers: { Allow: wanted } });
}

/** Into the log and, where nothing behind the edge has noted it, into the audit trail. */
function tell(
  { log, authority }: EstContext,
  refused: EstRefusal,
  { id, by, http }: { readonly id: string; readonly by: string; readonly http: EstHttp },
): void {
  const { code, status, detail, fields } = refused;
  const { from } = http;
  const path = http.url.slice(0, 200);
  const line = { ...fields, id, code, status, path, from, by };
  if (status >= 500 && code !== 'ERR_EST_UNSUPPORTED')
    log.error(line, `EST request failed: ${detail}`);
  else log.info(line, `EST request refused: ${detail}`);
  if (!noted.has(code)) return;
  const note = { asked: 'est', subject: path, code, detail };
  whileAskedBy({ by, from }, () => authority.ledger.noteRefusal(note));
}

/** What is decided at the door. */
const noted: ReadonlySet<string> = new Set([
  'ERR_EST_CREDENTIALS',
  'ERR_EST_RATE',
  'ERR_EST_BINDING',
  'ERR_EST_NAMES',
  'ERR_EST_KEYGEN',
]);

/** What broke is the operator's to read; the client learns whether to come again. */
function refusalOfThrown({ log }: EstContext, thrown: unknown, id: string): EstRefusal {
  if (thrown instanceof CountersignError && thrown.code === 'ERR_WIRE_TOO_LARGE') {
    return refusal('tooLarge', `a request has at most ${maxBodyBytes} bytes`);
  }
  const operator = messageOf(thrown);
  log.error({ id, err: thrown }, `EST request broke: ${operator}`);
  const headers = { 'Retry-After': '5' };
  return refusal('internal', 'it cannot be answered now', { operator, headers });
}
