import { randomUUID } from 'node:crypto';
import { CountersignError, messageOf } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import { whileAskedBy } from '../ledger/asked.ts';
import { callerOf, judgeAccess } from './judge-access.ts';
import { helpFor } from './path-help.ts';
import { readVaultBody } from './read-vault-body.ts';
import type { Operation, VaultAnswer, VaultCall } from './vault-call.ts';
import type { VaultContext } from './vault-context.ts';
import {
  badRequest,
  refusal,
  unsupported,
  unsupportedOperation,
  type VaultRefusal,
} from './vault-refusal.ts';
import { targetOf } from './vault-target.ts';

/** A request from whatever read its head. */
export interface VaultHttp {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly from: string;
  readonly shown: () => readonly Certificate[];
  /** Aborted where the client has left. */
  readonly left?: () => AbortSignal;
  /** Whole, within the limit. */
  readonly body: (maxBytes: number) => Promise<Uint8Array>;
}

export interface VaultReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** What is known of a request by the time that it is refused. */
interface Outcome {
  by: string;
  /** Of the mount that it is for. */
  provisioner: string | undefined;
  /** As the table of routes writes it. */
  route: string;
}

/** A policy, or a request for sixty names with its chain, fits well. */
const maxBodyBytes = 256 * 1024;

/** One request of a Vault client from its head to its answer. Rejects only with what broke reading its body. */
export async function answerVault(context: VaultContext, http: VaultHttp): Promise<VaultReply> {
  const id = randomUUID();
  const path = pathOf(http.url);
  const outcome: Outcome = { by: 'anonymous', provisioner: undefined, route: 'none' };
  let answer: VaultAnswer | VaultRefusal;
  try {
    answer = await answerOf(context, http, outcome);
  } catch (thrown) {
    answer = refusalOf(context, thrown, id, path);
  }
  context.requests.add(1, { route: outcome.route, result: answer.ok ? 'ok' : answer.code });
  if (!answer.ok) {
    tell(context, answer, { id, path, from: http.from, ...outcome });
    const body = `${JSON.stringify({ errors: answer.errors })}\n`;
    return reply(answer.status, 'application/json', body, answer.headers);
  }
  return replyOf(answer, id);
}

async function answerOf(
  context: VaultContext,
  http: VaultHttp,
  outcome: Outcome,
): Promise<VaultAnswer | VaultRefusal> {
  // 1. What is asked, and of which mount.
  const url = new URL(http.url, 'https://localhost');
  const { searchParams: query } = url;
  const operation = operationOf(http.method, query);
  const path = pathOf(http.url);
  if (header(http, 'x-vault-wrap-ttl') !== undefined) {
    return unsupported('X-Vault-Wrap-TTL', 'answers are not wrapped, ask without it');
  }
  if (operation === undefined) return unsupportedOperation();
  const target = await targetOf(context, path);
  outcome.provisioner = target.provisioner;
  outcome.route = target.found?.route.path ?? 'none';

  // 2. By whom: what is not open to everybody needs a token whose policies let it.
  const isOpen = target.found?.route.open?.includes(operation) === true;
  const token = tokenOf(http);
  const called = isOpen ? undefined : await callerOf(context, token, http.from);
  if (called?.ok === false) return called;
  const caller = called?.caller;
  if (caller !== undefined) outcome.by = `vault:${caller.token.who}`;
  if (caller !== undefined) {
    const forbidden = await judgeAccess(context, caller, { path, operation, target });
    if (forbidden !== undefined) return forbidden;
  }

  // 3. Whether there is such a thing.
  if (!target.ok) return target.refusal;
  if (query.get('help') === '1') return { ok: true, plain: helpFor(target.routes, target.rest) };
  if (target.found === undefined) return target.refusal;
  const { route, names } = target.found;
  const handler = route.on[operation];
  if (handler === undefined) return unsupportedOperation();

  // 4. The answer; who asked is in the audit trail.
  const read = readVaultBody(await http.body(maxBodyBytes), header(http, 'content-type') ?? '');
  if (typeof read === 'string') return badRequest(read);
  const { from, shown, left } = http;
  const host = header(http, 'host') ?? 'localhost';
  const call: VaultCall = {
    ...{ operation, path, names, query, caller, from, shown, left, body: read },
    origin: `https://${/^[A-Za-z0-9.:[\]-]{1,300}$/.test(host) ? host : 'localhost'}`,
  };
  return await whileAskedBy({ by: outcome.by, from }, async () =>
    handler(context, call, undefined),
  );
}

/** GET with `list=true` is what cannot send LIST. */
function operationOf(method: string, query: URLSearchParams): Operation | undefined {
  if ((method === 'GET' || method === 'HEAD') && query.get('list') === 'true') return 'list';
  return operations[method];
}

const operations: Readonly<Record<string, Operation>> = {
  GET: 'read',
  HEAD: 'read',
  LIST: 'list',
  POST: 'update',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Below `/v1/`, decoded, without slashes at its ends. */
function pathOf(url: string): string {
  const [written = ''] = url.split('?');
  let path = written;
  try {
    path = decodeURIComponent(written);
  } catch {
    // What is no address is no path of ours either.
  }
  return path.replace(/^\/v1\//, '').replace(/\/+$/, '');
}

function tokenOf(http: VaultHttp): string | undefined {
  const token = header(http, 'x-vault-token');
  if (token !== undefined && token !== '') return token;
  return /^Bearer +(\S+)$/i.exec(header(http, 'authorization') ?? '')?.[1];
}

function header({ headers }: VaultHttp, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

function replyOf(answer: Extract<VaultAnswer, { ok: true }>, id: string): VaultReply {
  if ('raw' in answer) return reply(200, answer.type, answer.raw);
  if ('plain' in answer) {
    return reply(answer.status ?? 200, 'application/json', `${JSON.stringify(answer.plain)}\n`);
  }
  if (answer.status === 204) return reply(204, 'application/json', '');
  const { data, auth, warnings, lease, isFlat } = answer as Exclude<typeof answer, { status: 204 }>;
  const envelope = {
    ...(isFlat === true ? data : {}),
    request_id: id,
    lease_id: lease?.id ?? '',
    renewable: false,
    lease_duration: lease?.seconds ?? 0,
    data: data ?? null,
    wrap_info: null,
    warnings: warnings === undefined || warnings.length === 0 ? null : warnings,
    auth: auth ?? null,
  };
  return reply(answer.status ?? 200, 'application/json', `${JSON.stringify(envelope)}\n`);
}

function reply(
  status: number,
  type: string,
  body: Uint8Array | string,
  more: Readonly<Record<string, string>> = {},
): VaultReply {
  const headers = { 'content-type': type, 'cache-control': 'no-store', ...more };
  return { status, headers, body };
}

/** Into the log and, where nothing behind the edge has noted it, into the audit trail. */
function tell(
  { log, authority }: VaultContext,
  refused: VaultRefusal,
  asked: Outcome & { readonly id: string; readonly path: string; readonly from: string },
): void {
  const { code, status, detail, fields } = refused;
  const { by, from, id } = asked;
  // Old clients write tokens into paths.
  const path = asked.path.slice(0, 200).replaceAll(/\b(hvs|s)\.[A-Za-z0-9_-]+/g, '$1.…');
  const line = { ...fields, id, code, status, path, from, by };
  // What is not there is nobody's failure, whatever clients want it to be called.
  if (status >= 500 && code !== 'ERR_VAULT_PATH')
    log.error(line, `vault request failed: ${detail}`);
  else log.info(line, `vault request refused: ${detail}`);
  if (!noted.has(code)) return;
  const note = { asked: 'vault', subject: path, provisioner: asked.provisioner, code, detail };
  whileAskedBy({ by, from }, () => authority.ledger.noteRefusal(note));
}

const noted: ReadonlySet<string> = new Set([
  'ERR_VAULT_DENIED',
  'ERR_VAULT_ROLE',
  'ERR_VAULT_LOGIN',
  'ERR_VAULT_RATE',
]);

/** What broke is the operator's to read; the client learns whether to come again. */
function refusalOf({ log }: VaultContext, thrown: unknown, id: string, path: string): VaultRefusal {
  if (thrown instanceof CountersignError && thrown.code === 'ERR_WIRE_TOO_LARGE') {
    return refusal('ERR_VAULT_REQUEST', 413, 'http: request body too large');
  }
  log.error(
    { id, path: path.slice(0, 200), err: thrown },
    `vault request broke: ${messageOf(thrown)}`,
  );
  const told = `the server cannot answer now, its log has "${id}"`;
  const headers = { 'retry-after': '5' };
  return refusal('ERR_VAULT_INTERNAL', 503, told, { operator: messageOf(thrown), headers });
}
