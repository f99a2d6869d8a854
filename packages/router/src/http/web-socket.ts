import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Denial, denial } from '@countersign/base';
import { type WebSocket, WebSocketServer } from 'ws';
import { judgeTokenEnd, onTokenEnd } from '../claims/token-end.ts';
import type { Caller } from '../operation/caller.ts';
import type { Asking, GraphqlBody } from '../router-engine.ts';
import { tellRefused, watchedStream } from '../telemetry/tell-operation.ts';
import { type HandlingSurroundings, refusalBody } from './handle-graphql.ts';
import { judgeNesting } from './json-nesting.ts';
import { readParameters } from './read-request.ts';

/** From the handshake to `connection_init`. */
const initTimeoutMs = 3000;
const pingMs = 12_000;
/** Bytes that wait for the caller to read them, before it gets no more. */
const maxBuffered = 1_048_576;
/** Operations of one connection at once. */
const maxOperations = 100;

/** Who a caller is with this token; with none, who it was. */
export type Claim = (
  caller: Caller,
  token: string | undefined,
) => Promise<{ readonly ok: true; readonly caller: Caller } | Denial>;

export interface WebSocketDoor {
  take(request: IncomingMessage, socket: Duplex, head: Buffer, caller: Caller): void;
  /** Says goodbye to everybody. */
  close(): void;
}

/** Operations over WebSockets, by the protocol `graphql-transport-ws` of graphql-ws. */
export function openWebSocketDoor(around: () => HandlingSurroundings, claim: Claim): WebSocketDoor {
  const server = new WebSocketServer({
    ...{ noServer: true, perMessageDeflate: false, clientTracking: true },
    maxPayload: around().config.limits.max_body_bytes,
    handleProtocols: (offered) =>
      offered.has('graphql-transport-ws') ? 'graphql-transport-ws' : false,
  });
  return {
    take(request, socket, head, caller) {
      if (!isOwnPage(request, around().config.cors?.origins ?? [])) {
        socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
        return;
      }
      server.handleUpgrade(request, socket, head, (ws) => {
        if (ws.protocol !== 'graphql-transport-ws') ws.close(4406, 'Subprotocol not acceptable');
        else new Conversation(ws, request, caller, around, claim).begin();
      });
    },
    close() {
      for (const ws of server.clients) ws.close(1001, 'Going away');
    },
  };
}

/** Browsers let every page open a WebSocket anywhere, certificate and all, and say which page it was. */
function isOwnPage({ headers }: IncomingMessage, origins: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined || origins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** By which clients know that trying again with the same token is no use. */
const tokenEnded = [4403, 'Token expired'] as const;

class Conversation {
  readonly #ws: WebSocket;
  #headers: IncomingHttpHeaders;
  #caller: Caller;
  readonly #around: () => HandlingSurroundings;
  readonly #claim: Claim;
  readonly #running = new Map<string, AbortController>();
  readonly #over = new AbortController();
  #isGreeted = false;
  #isInitialised = false;
  #isAlive = true;

  constructor(
    ws: WebSocket,
    request: IncomingMessage,
    caller: Caller,
    around: () => HandlingSurroundings,
    claim: Claim,
  ) {
    this.#ws = ws;
    this.#headers = request.headers;
    this.#caller = caller;
    this.#around = around;
    this.#claim = claim;
  }

  begin(): void {
    const ws = this.#ws;
    const late = setTimeout(() => {
      if (!this.#isGreeted) ws.close(4408, 'Connection initialisation timeout');
    }, initTimeoutMs).unref();
    const beat = setInterval(() => {
      if (!this.#isAlive) return ws.terminate();
      this.#isAlive = false;
      ws.ping();
    }, pingMs).unref();
    ws.on('pong', () => {
      this.#isAlive = true;
    });
    ws.on('error', () => ws.terminate());
    this.#followToken();
    ws.on('message', (raw, isBinary) => this.#take(isBinary ? '' : String(raw)));
    ws.on('close', () => {
      clearTimeout(late);
      clearInterval(beat);
      this.#over.abort();
      for (const running of this.#running.values()) running.abort(new Error('caller left'));
    });
  }

  /** A token is good for its time alone, whatever was begun with it. */
  #followToken(): void {
    const { clock } = this.#around();
    const caller = this.#caller;
    void onTokenEnd(caller, clock, this.#over.signal, (ended) => {
      // Another token may have taken its place since.
      if (this.#caller === caller) this.#expire(ended);
    });
  }

  #expire(ended: Denial): void {
    const { log } = this.#around();
    const { spiffeId: caller } = this.#caller;
    log.info({ code: ended.code, caller }, `WebSocket closed: ${ended.detail}`);
    for (const [id, running] of this.#running) {
      this.#refuse(id, refusalBody(ended));
      running.abort(new Error(ended.detail));
    }
    this.#ws.close(...tokenEnded);
  }

  #take(text: string): void {
    const message = readMessage(text, this.#around().config.limits.max_json_depth);
    const { type } = message ?? {};
    const handle = typeof type === 'string' ? this.#handlers.get(type) : undefined;
    if (handle === undefined || message === undefined) this.#ws.close(4400, 'Invalid message');
    else handle(message);
    if (this.#ws.bufferedAmount > maxBuffered && !this.#ws.isPaused) void this.#pause();
  }

  /** Who does not read what it is sent is not read either: even pongs would pile up. */
  async #pause(): Promise<void> {
    const { signal } = this.#over;
    this.#ws.pause();
    await this.#drained(signal);
    if (!signal.aborted) this.#ws.resume();
  }

  readonly #handlers = new Map<string, (message: Message) => void>([
    ['connection_init', ({ payload }) => void this.#initialise(payload)],
    ['ping', () => this.#send({ type: 'pong' })],
    ['pong', () => {}],
    ['complete', ({ id }) => this.#running.get(String(id))?.abort(new Error('caller has enough'))],
    ['subscribe', (message) => this.#subscribe(message)],
  ]);

  async #initialise(payload: unknown): Promise<void> {
    if (this.#isGreeted) return this.#ws.close(4429, 'Too many initialisation requests');
    this.#isGreeted = true;
    const { config, log } = this.#around();
    const header = config.jwt?.header ?? 'authorization';
    const token = config.jwt === undefined ? undefined : tokenOf(payload, header);
    if (token !== undefined) {
      const before = this.#caller;
      const claimed = await this.#claim(before, token).catch((thrown) => {
        log.error({ err: thrown }, 'token of a WebSocket could not be verified');
        return denial('ERR_GRAPHQL_TOKEN', 'it could not be verified');
      });
      if (!claimed.ok) {
        log.warn({ code: claimed.code, caller: before.spiffeId }, claimed.detail);
        return this.#ws.close(4403, 'Forbidden');
      }
      this.#caller = claimed.caller;
      this.#headers = { ...this.#headers, [header]: token };
      this.#followToken();
    }
    this.#isInitialised = true;
    this.#send({ type: 'connection_ack' });
  }

  #subscribe({ id, payload }: Message): void {
    const wrong = this.#wrongWith(id);
    if (wrong !== undefined) {
      this.#ws.close(...wrong);
      return;
    }
    const giveUp = new AbortController();
    this.#running.set(String(id), giveUp);
    this.#run(String(id), payload, giveUp)
      .catch((thrown) =>
        this.#around().log.error({ err: thrown }, 'operation over a WebSocket failed'),
      )
      .finally(() => this.#running.delete(String(id)));
  }

  #wrongWith(id: unknown): readonly [code: number, reason: string] | undefined {
    if (!this.#isInitialised) return [4401, 'Unauthorized'];
    if (judgeTokenEnd(this.#caller, this.#around().clock) !== undefined) return tokenEnded;
    if (typeof id !== 'string' || id === '') return [4400, 'Invalid message'];
    if (this.#running.has(id)) return [4409, `Subscriber for ${id.slice(0, 64)} already exists`];
    return this.#running.size < maxOperations ? undefined : [4400, 'Too many operations'];
  }

  async #run(id: string, payload: unknown, giveUp: AbortController): Promise<void> {
    const around = this.#around();
    const parameters = readParameters(payload);
    const found = 'ok' in parameters ? parameters : around.operations.find(parameters);
    if (!found.ok) {
      tellRefused(around, this.#caller, found);
      return this.#refuse(id, refusalBody(found));
    }
    const { operationName, variables } = parameters as Exclude<typeof parameters, { ok: false }>;
    if (!around.subscriptions.open(around.config.limits)) {
      const full = denial('ERR_GRAPHQL_LIMIT', 'too many subscriptions are open');
      tellRefused(around, this.#caller, full);
      return this.#refuse(id, refusalBody(full));
    }
    const asking: Asking = {
      ...{ caller: this.#caller, headers: this.#headers, signal: giveUp.signal },
      identity: around.identityFor(this.#caller),
    };
    try {
      const asked = { query: found.query, operationName, variables };
      const engine = around.engine();
      const bodies = watchedStream(around, asking, 'websocket', operationName, (watched) =>
        engine.stream(asked, watched),
      );
      for await (const body of bodies) {
        if (this.#ws.readyState !== this.#ws.OPEN || giveUp.signal.aborted) return;
        // A request that never ran is an error of the protocol, which ends the operation.
        if (body.data === undefined) return this.#refuse(id, body as GraphqlBody);
        this.#send({ id, type: 'next', payload: body });
        await this.#drained(giveUp.signal);
      }
      if (!giveUp.signal.aborted) this.#send({ id, type: 'complete' });
    } finally {
      around.subscriptions.close();
    }
  }

  #refuse(id: string, { errors }: GraphqlBody): void {
    this.#send({ id, type: 'error', payload: errors });
  }

  #send(message: object): void {
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.send(JSON.stringify(message));
  }

  /** The subgraph is read at the pace of the caller. */
  async #drained(signal: AbortSignal): Promise<void> {
    const { clock } = this.#around();
    while (this.#ws.bufferedAmount > maxBuffered && !signal.aborted) {
      await clock.sleep(20, { signal, ref: false }).catch(() => {});
    }
  }
}

/** Browsers cannot give a WebSocket headers: clients say them in `connection_init`, at its top or under `headers`. */
function tokenOf(payload: unknown, header: string): string | undefined {
  const top = Object(payload) as Readonly<Record<string, unknown>>;
  for (const place of [top, Object(top.headers) as typeof top]) {
    const found = Object.entries(place).find(([name]) => name.toLowerCase() === header);
    // What is no text is no token either, and refused as one.
    if (found !== undefined) return typeof found[1] === 'string' ? found[1] : '';
  }
  return undefined;
}

interface Message {
  readonly type?: unknown;
  readonly id?: unknown;
  readonly payload?: unknown;
}

/** @param maxDepth of a request; the message around it is one level more */
function readMessage(text: string, maxDepth: number): Message | undefined {
  if (judgeNesting(text, maxDepth + 1) !== undefined) return undefined;
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? json : undefined;
  } catch {
    return undefined;
  }
}
