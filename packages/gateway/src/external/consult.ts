import {
  type AuthzRequest,
  askExternal,
  type ExternalAnswers,
  type ExternalAuthorizer,
  type ExternalResponse,
  providersFor,
} from '@countersign/authz';
import { type Denial, denial, type Log } from '@countersign/base';
import type { ClientExchange, ClientRequest } from '../client/client-exchange.ts';
import type { HeaderOperations } from '../model/header-operations.ts';
import { type Asker, type Facts, questionOf } from '../reask.ts';
import type { RequestHead } from '../request-head.ts';
import { takeChanges } from './written-changes.ts';

/** What external authorizers made of a request. */
export interface Consulted {
  readonly ok: true;
  readonly external: ExternalAnswers;
  readonly rawHeaders: readonly string[];
  readonly query: string;
  readonly responseHeaders: readonly HeaderOperations[];
  /** The same client; what was read of its body already comes first. */
  readonly client: ClientExchange;
}

export interface Consulting {
  readonly client: ClientExchange;
  readonly head: RequestHead;
  readonly written: AuthzRequest & { readonly rawHeaders: readonly string[] };
}

/**
 * Asks about a request whom CUSTOM policies name; undefined where none is about it, as is most usual. The answers belong
 * into the request, and hold for as long as it is on its way. No more of a body is read than is shown; `left` is a caller
 * that broke off before.
 *
 * Denials: ERR_GATEWAY_BODY_TOO_LARGE where a body has to be shown whole and cannot be.
 */
export function consult(
  facts: Facts,
  asker: Asker,
  consulting: Consulting,
  log: Log,
): Promise<Consulted | Denial | 'left'> | undefined {
  const { rules = facts.rules() } = asker;
  if (rules[asker.protocol].customs.length === 0) return undefined;
  const question = questionOf(facts, asker, facts.clock.now(), consulting.written);
  const names = providersFor(rules, question);
  if (names.length === 0) return undefined;
  const authorizers = facts.authorizers?.() ?? new Map<string, ExternalAuthorizer>();
  return ask();

  async function ask(): Promise<Consulted | Denial | 'left'> {
    const { client, head, written } = consulting;
    const { query } = head.target;
    const wants = names.flatMap((name) => authorizers.get(name)?.wantsBody ?? []);
    const read = head.hasBody && wants.length > 0 ? await readAhead(client, wants) : undefined;
    if (read === 'left' || (read !== undefined && 'code' in read)) return read;
    const shown = { ...written, query, ...(read !== undefined && { body: read.body }) };
    const external = await askExternal(rules, { ...question, request: shown }, authorizers);
    const taken = takeChanges(external, { rawHeaders: written.rawHeaders, query }, log);
    return {
      ...{ ok: true, external, rawHeaders: taken.rawHeaders, query: taken.query },
      ...{ responseHeaders: taken.response, client: read?.client ?? client },
    };
  }
}

/** What the first authorizer that refuses has for the caller, and its name. */
export function refusalOf(
  external: ExternalAnswers,
): { readonly provider: string; readonly response: ExternalResponse } | undefined {
  for (const [provider, answer] of external) {
    if (!answer.ok && answer.response !== undefined) return { provider, response: answer.response };
  }
  return undefined;
}

type Wants = NonNullable<ExternalAuthorizer['wantsBody']>;

/** As much of the body as is wanted of it, for all at once. */
async function readAhead(client: ClientExchange, wants: readonly Wants[]) {
  const most = Math.max(...wants.map(({ maxBytes }) => maxBytes));
  const least = Math.min(
    ...wants.map(({ maxBytes, takesPart }) => (takesPart ? Number.POSITIVE_INFINITY : maxBytes)),
  );
  client.continueBody();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let isWhole = false;
  const rest = client.request.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
  while (length <= Math.min(most, least)) {
    const next = await rest.next().catch(() => undefined);
    if (next === undefined) return 'left';
    const { done, value } = next;
    if (done === true) {
      isWhole = true;
      break;
    }
    chunks.push(value as Uint8Array);
    length += (value as Uint8Array).byteLength;
  }
  if (length > least) {
    const detail = `request body of more than ${least} bytes, which an authorizer is shown whole`;
    return denial('ERR_GATEWAY_BODY_TOO_LARGE', detail, { maxBytes: least });
  }
  const bytes = Buffer.concat(chunks).subarray(0, most);
  return {
    body: { bytes, isPart: !isWhole || bytes.byteLength < length },
    client: {
      ...bound(client),
      request: replayed(client.request, chunks, isWhole ? undefined : rest),
    },
  };
}

/** Its methods, whatever object it is. */
function bound(client: ClientExchange): Omit<ClientExchange, 'request'> {
  const { protocol, response, from, head, openTunnel } = client;
  return {
    ...{ protocol, response, from, head, continueBody: () => {} },
    ...(openTunnel !== undefined && {
      openTunnel: (headers: string[]) => openTunnel.call(client, headers),
    }),
  };
}

function replayed(
  request: ClientRequest,
  chunks: readonly Uint8Array[],
  rest: AsyncIterator<unknown> | undefined,
): ClientRequest {
  return {
    rawHeaders: request.rawHeaders,
    get complete() {
      return request.complete;
    },
    async *iterator() {
      yield* chunks;
      for (;;) {
        const next = await rest?.next();
        if (next === undefined || next.done === true) return;
        yield next.value;
      }
    },
  };
}
