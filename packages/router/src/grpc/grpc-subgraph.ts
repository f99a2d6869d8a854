import { type Clock, CountersignError, type Meter, messageOf } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { ExecutionResult, GraphQLSchema } from 'graphql';
import { type DocumentNode, execute, GraphQLError, parse, subscribe } from 'graphql';
import type { GrpcConfig } from '../config/router-config.ts';
import type { ResponseError, SubgraphAnswer } from '../execute/response-error.ts';
import { LruCache } from '../operation/lru-cache.ts';
import { failureOf, isWithoutMtls, type SubgraphFailure } from '../subgraph/failure.ts';
import type { Subgraph } from '../subgraph/subgraph.ts';
import {
  describeSubgraph,
  type SentRequest,
  type SubgraphOutcome,
  type SubgraphSettings,
  type SubgraphStatus,
} from '../subgraph/subgraph-client.ts';
import type { Trust } from '../subgraph/subgraph-pool.ts';
import { SubgraphRecord } from '../subgraph/subgraph-record.ts';
import type { EventRequest } from '../subscribe/sse-source.ts';
import { describeService } from './describe-service.ts';
import { executableSchema, type MethodCaller } from './executable-schema.ts';
import { callMessages } from './grpc-call.ts';
import { GrpcChannel } from './grpc-channel.ts';
import type { GrpcSchema } from './grpc-schema.ts';
import { statusForCaller } from './grpc-status.ts';
import type { ProtoMethod } from './proto-schema.ts';
import { ProtobufCodec } from './protobuf-codec.ts';
import { reflectedSet } from './reflection.ts';

/** Reads a file that the configuration names. */
export type ReadBytes = (path: string) => Promise<Uint8Array>;

export interface GrpcSubgraphOptions {
  readonly settings: SubgraphSettings;
  readonly grpc: GrpcConfig;
  readonly trust: Trust;
  readonly meter: Meter;
  /** Reads the descriptor set that the configuration names. */
  readonly readBytes: ReadBytes;
}

/** What a request to a subgraph brings, for each call that is made of it. */
export interface CallContext {
  /** Names and values alternating. */
  readonly metadata: readonly string[];
  readonly isRepeatable: boolean;
  readonly signal: AbortSignal | undefined;
  /** Tells the operator; gives the id that the caller is told. */
  readonly report: (failure: SubgraphFailure) => string;
}

interface Opened {
  readonly schema: GrpcSchema;
  readonly executable: GraphQLSchema;
}

const maxDocuments = 500;
/** Each takes some hundred bytes once it is parsed. */
const maxDocumentChars = 512 * 1024;

/**
 * A subgraph whose fields are the methods of gRPC services: GraphQL is executed here, each field of the root is one
 * call, on connections that are dialled and verified like all others.
 */
export class GrpcSubgraph implements Subgraph {
  readonly settings: SubgraphSettings;
  readonly trust: Trust;
  readonly #options: GrpcSubgraphOptions;
  readonly #channel: GrpcChannel;
  readonly #record: SubgraphRecord;
  readonly #clock: Clock;
  readonly #documents = new LruCache<DocumentNode>(maxDocuments, maxDocumentChars);
  #plain: GrpcChannel | undefined;
  #opened: Promise<Opened> | undefined;

  constructor(options: GrpcSubgraphOptions) {
    const { settings, trust, meter } = options;
    this.settings = settings;
    this.trust = trust;
    this.#options = options;
    this.#clock = trust.clock;
    this.#record = new SubgraphRecord(settings.name, trust.clock, meter);
    const onConnected = (peer: VerifiedPeer) => this.#record.connected(peer);
    const isMtls = settings.transport === 'mtls';
    this.#channel = this.#channelOf(isMtls ? onConnected : undefined);
  }

  /** Reads what describes it, once; must be through before the first request. @throws CountersignError */
  async sdl(): Promise<string> {
    return (await this.#open()).schema.sdl;
  }

  async send(request: SentRequest): Promise<SubgraphOutcome> {
    const { executable } = await this.#open();
    const { document, variables, operationName } = this.#read(request.body);
    const result = await execute({
      ...{ schema: executable, document, variableValues: variables, operationName },
      contextValue: contextOf(request),
    });
    const text = JSON.stringify(result);
    const plain = { status: 200, contentType: 'application/json', cacheControl: undefined, text };
    return { ok: true, response: plain };
  }

  async *events(request: EventRequest): AsyncGenerator<SubgraphAnswer> {
    const { executable } = await this.#open();
    const { document, variables, operationName } = this.#read(request.body);
    const results = await subscribe({
      ...{ schema: executable, document, variableValues: variables, operationName },
      contextValue: contextOf({ ...request, isRepeatable: false }),
    });
    if (!(Symbol.asyncIterator in results)) return yield answerOf(results);
    try {
      for await (const result of results) yield answerOf(result);
    } catch (thrown) {
      // A call that broke off is told already.
      if (!(thrown instanceof GraphQLError)) throw thrown;
      yield answerOf({ data: null, errors: [thrown] });
    }
  }

  get peer(): VerifiedPeer | undefined {
    return this.#channel.peer;
  }

  status(): SubgraphStatus {
    return { ...describeSubgraph(this.settings, this.peer), ...this.#record.counts() };
  }

  async close(): Promise<void> {
    await Promise.all([this.#channel.close(), this.#plain?.close()]);
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#channel.destroy(), this.#plain?.destroy()]);
  }

  #channelOf(onConnected: ((peer: VerifiedPeer) => void) | undefined): GrpcChannel {
    const { keepalive } = this.#options.grpc;
    return new GrpcChannel(this.settings, this.trust, keepalive, onConnected);
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#describe().catch((thrown) => {
      this.#opened = undefined;
      throw thrown;
    });
    return this.#opened;
  }

  async #describe(): Promise<Opened> {
    const { grpc, readBytes, settings } = this.#options;
    const { descriptor_set: path } = grpc;
    const from = path ?? `reflection of subgraph "${settings.name}"`;
    const bytes = path === undefined ? await this.#reflected(grpc.services) : await readBytes(path);
    const schema = describeService(bytes, from, grpc);
    const codec = new ProtobufCodec(schema.proto);
    const caller: MethodCaller<CallContext> = {
      call: (method, value, context) => this.#call(codec, method, value, context, false),
      find: (method, value, context) => this.#call(codec, method, value, context, true),
      stream: (method, value, context) => this.#stream(codec, method, value, context),
    };
    return { schema, executable: executableSchema(schema, caller) };
  }

  async #reflected(services: readonly string[] | undefined): Promise<Uint8Array> {
    try {
      return await reflectedSet((path, message) => this.#reflect(path, message), services);
    } catch (thrown) {
      if (thrown instanceof CountersignError) throw thrown;
      throw new CountersignError(
        'ERR_ROUTER_PROTO',
        `subgraph "${this.settings.name}" answered reflection with ${messageOf(thrown)}`,
        { cause: thrown },
      );
    }
  }

  /** One question of reflection. @throws CountersignError saying what was attempted */
  async #reflect(path: string, message: Uint8Array): Promise<Buffer> {
    const { name, url } = this.settings;
    try {
      return await this.#attempt(this.#channel, path, message, {
        ...{ metadata: [], isRepeatable: true, signal: undefined },
        report: () => '',
      });
    } catch (thrown) {
      const { code, detail, fields } = failureOf(thrown);
      const attempted = `ask subgraph "${name}" at "${url}" what it has by reflection`;
      throw new CountersignError(code, `${attempted}: ${detail}`, { fields, cause: thrown });
    }
  }

  async #call(
    codec: ProtobufCodec,
    method: ProtoMethod,
    value: unknown,
    context: CallContext,
    mayBeAbsent: boolean,
  ): Promise<unknown> {
    const message = encoded(codec, method, value);
    const { retry } = this.settings;
    const ended = this.#record.begin();
    for (let again = 0; ; again += 1) {
      try {
        const answer = await this.#attemptAnyhow(method.path, message, context);
        const read = codec.decode(method.output, answer);
        ended(undefined);
        return read;
      } catch (thrown) {
        const failure = failureOf(thrown);
        if (again < retry.attempts && mayRepeat(failure, context)) {
          // A connection that was closed meanwhile says nothing about the service: the first one costs no wait.
          const ms = again === 0 ? 0 : retry.backoffMs * 2 ** (again - 1);
          if (ms > 0) await this.#clock.sleep(ms, { ref: false });
          continue;
        }
        const isAbsent = mayBeAbsent && failure.fields.status === 'NOT_FOUND';
        ended(isAbsent ? undefined : failure);
        if (isAbsent) return null;
        throw this.#told(failure, method, context);
      }
    }
  }

  async *#stream(
    codec: ProtobufCodec,
    method: ProtoMethod,
    value: unknown,
    context: CallContext,
  ): AsyncGenerator<unknown> {
    const message = encoded(codec, method, value);
    const ended = this.#record.begin();
    let release = () => {};
    try {
      const connection = await this.#channel.connection();
      release = connection.keepAlive.hold();
      const call = this.#callOf(method.path, message, context, undefined);
      for await (const each of callMessages(connection, call)) {
        yield codec.decode(method.output, each);
      }
      ended(undefined);
    } catch (thrown) {
      if (context.signal?.aborted === true) return;
      const failure = failureOf(thrown);
      ended(failure);
      throw this.#told(failure, method, context);
    } finally {
      release();
    }
  }

  async #attemptAnyhow(path: string, message: Uint8Array, context: CallContext): Promise<Buffer> {
    const { transport, allowFallback, name, url } = this.settings;
    try {
      return await this.#attempt(this.#channel, path, message, context);
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (transport === 'plaintext' || !allowFallback || !isWithoutMtls(failure)) throw thrown;
      this.#record.fallback(url.origin);
      const { reason, detail } = failure;
      const told = 'mTLS failed: falling back to plaintext';
      this.trust.log.warn({ subgraph: name, reason, detail }, told);
      this.#plain ??= this.#channelOf(undefined);
      return await this.#attempt(this.#plain, path, message, context);
    }
  }

  /** A call with one answer. */
  async #attempt(
    channel: GrpcChannel,
    path: string,
    message: Uint8Array,
    context: CallContext,
  ): Promise<Buffer> {
    const connection = await channel.connection();
    const call = this.#callOf(path, message, context, this.settings.timeoutMs);
    let answer: Buffer | undefined;
    try {
      for await (const each of callMessages(connection, call)) {
        if (answer !== undefined) throw wrongCount('more than one message');
        answer = each;
      }
    } catch (thrown) {
      if (failureOf(thrown).reason === 'timeout') channel.probe(connection);
      throw thrown;
    }
    if (answer === undefined) throw wrongCount('no message');
    return answer;
  }

  #callOf(path: string, message: Uint8Array, context: CallContext, deadlineMs: number | undefined) {
    const { url, maxResponseBytes } = this.settings;
    return {
      ...{ path, message, deadlineMs, clock: this.#clock, maxMessageBytes: maxResponseBytes },
      ...{ metadata: context.metadata, signal: context.signal, authority: url.host },
      scheme: this.settings.transport === 'mtls' ? ('https' as const) : ('http' as const),
    };
  }

  /** What the caller is told of a failed call: that it did, its status if that is about what was asked, and the id. */
  #told(failure: SubgraphFailure, method: ProtoMethod, { report }: CallContext): GraphQLError {
    const id = report({ ...failure, fields: { ...failure.fields, method: method.path } });
    const status = statusForCaller(failure.fields);
    if (status === undefined) {
      const extensions = { code: 'ERR_SUBGRAPH_UNAVAILABLE', id };
      return new GraphQLError('this part of the data is not available', { extensions });
    }
    const extensions = { code: 'ERR_SUBGRAPH_STATUS', status, id };
    return new GraphQLError(`the service answered ${status}`, { extensions });
  }

  #read(body: string) {
    const { query, variables, operationName } = JSON.parse(body) as {
      readonly query: string;
      readonly variables?: Record<string, unknown>;
      readonly operationName?: string;
    };
    let document = this.#documents.get(query);
    if (document === undefined) {
      document = parse(query, { noLocation: true });
      this.#documents.set(query, document, query.length);
    }
    return { document, variables, operationName };
  }
}

const noContentHeaders = new Set(['content-type', 'accept']);

function contextOf({ headers, isRepeatable, signal, report }: SentRequest): CallContext {
  const metadata: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]?.toLowerCase() ?? '';
    // What gRPC says itself; and binary metadata, which nobody vouches to be base64.
    const isOwn = name.startsWith('grpc-') || name.endsWith('-bin') || name === 'user-agent';
    if (!isOwn && !noContentHeaders.has(name)) metadata.push(name, headers[i + 1] ?? '');
  }
  return { metadata, isRepeatable, signal, report };
}

function encoded(codec: ProtobufCodec, { input, path }: ProtoMethod, value: unknown): Uint8Array {
  try {
    return codec.encode(input, value);
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown;
    const extensions = { code: 'ERR_GRAPHQL_VARIABLES' };
    const method = path.slice(path.lastIndexOf('/') + 1);
    throw new GraphQLError(`arguments of "${method}": ${thrown.message}`, { extensions });
  }
}

function mayRepeat(failure: SubgraphFailure, { isRepeatable, signal }: CallContext): boolean {
  if (signal?.aborted === true) return false;
  if (failure.reason === 'unreachable') return true;
  if (!isRepeatable) return false;
  return failure.reason === 'broke-off' || failure.fields.status === 'UNAVAILABLE';
}

function wrongCount(what: string): CountersignError {
  return new CountersignError('ERR_SUBGRAPH_RESPONSE', `answered with ${what}, one is expected`);
}

function answerOf({ data, errors }: ExecutionResult): SubgraphAnswer {
  const told = (errors ?? []).map((error) => error.toJSON() as ResponseError);
  return { data: data as SubgraphAnswer['data'], errors: told };
}
