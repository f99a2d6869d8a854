import type {
  AuthzQuestion,
  ExternalAnswer,
  ExternalAuthorizer,
  ExternalHeaders,
} from '@countersign/authz';
import { CountersignError, denial } from '@countersign/base';
import { isAnonymous } from '@countersign/mtls';
import { formatName } from '@countersign/x509';
import { endpointOf } from '../model/compile-upstreams.ts';
import type { ProviderConfig } from '../provider-config.ts';
import { Cluster, type ClusterSurroundings } from '../upstream/cluster.ts';
import type { UpstreamController, UpstreamHandler } from '../upstream/upstream-request.ts';
import { answerWithoutOne } from './answer-without-one.ts';
import {
  type CheckRequest,
  type CheckResponse,
  checkPath,
  decodeCheck,
  encodeCheck,
  type HeaderOption,
  type SocketPlace,
} from './check-messages.ts';
import { shownHeaders } from './shown-headers.ts';

const longestAnswer = 64 * 1024;

/** Asks a gRPC `ext_authz` service: `envoy.service.auth.v3.Authorization/Check`. Status 0 in its answer is yes. */
export class GrpcAuthorizer implements ExternalAuthorizer {
  readonly #config: ProviderConfig;
  readonly #around: ClusterSurroundings;
  readonly #cluster: Cluster;
  readonly wantsBody: ExternalAuthorizer['wantsBody'];

  constructor(config: ProviderConfig, around: ClusterSurroundings) {
    const { name, url, spiffeId, timeout, includeRequestBodyInCheck: body } = config;
    this.#config = config;
    this.#around = around;
    this.wantsBody = body && {
      maxBytes: body.maxRequestBytes,
      takesPart: body.allowPartialMessage,
    };
    const expect = spiffeId === undefined ? undefined : { spiffeIds: [spiffeId] };
    this.#cluster = new Cluster(
      {
        ...{ name: `provider ${name}`, endpoints: [endpointOf(url)], discovery: 'name' },
        ...{ dnsRefreshMs: 0, protocol: 'h2', balancing: 'round-robin', maxConnections: 4 },
        ...(expect !== undefined && { tls: { identity: 'own', trust: 'own', expect } }),
        ...{ connectTimeoutMs: timeout, headersTimeoutMs: timeout, idleTimeoutMs: timeout },
        limits: { maxRequests: 1024, maxRetries: 0 },
      },
      around,
    );
  }

  async check(asked: AuthzQuestion): Promise<ExternalAnswer> {
    try {
      return answerOf(decodeCheck(await this.#call(this.#messageOf(asked))));
    } catch (thrown) {
      return answerWithoutOne(this.#config, thrown, this.#around.log);
    }
  }

  async destroy(): Promise<void> {
    await this.#cluster.destroy();
  }

  #call(message: CheckRequest): Promise<Buffer> {
    const { timeout } = this.#config;
    const upstream = this.#cluster.pick();
    if (upstream === undefined || !this.#cluster.admission.begin()) {
      const detail = 'as many requests as it is sent are waiting for it';
      throw new CountersignError('ERR_UPSTREAM_OVERLOADED', detail);
    }
    const headers = [
      ...['Host', upstream.authority, 'content-type', 'application/grpc', 'te', 'trailers'],
      ...['grpc-timeout', `${timeout}m`, 'user-agent', 'countersign'],
    ];
    return new Promise<Buffer>((resolve, reject) => {
      const call = new Call(timeout, resolve, reject);
      upstream.dispatch(
        {
          ...{ method: 'POST', path: checkPath, headers, body: whole(encodeCheck(message)) },
          ...{ headersTimeout: timeout, bodyTimeout: timeout, isGrpc: true, takesTrailers: true },
        },
        call,
      );
    }).finally(() => this.#cluster.admission.ended());
  }

  #messageOf(asked: AuthzQuestion): CheckRequest {
    const { peer, request, connection = {} } = asked;
    const self = this.#around.credentials.identityOf('own').svid().spiffeId?.toString();
    const {
      path = '/',
      query = '',
      host = '',
      method = '',
      scheme = 'https',
      body,
    } = request ?? {};
    const { packAsBytes = false } = this.#config.includeRequestBodyInCheck ?? {};
    const whole = `${path}${query}`;
    const lines = shownHeaders(asked, () => true, self);
    const headers = {
      ...joined(lines),
      ...{ ':authority': host, ':method': method, ':path': whole, ':scheme': scheme },
      ...(body !== undefined && { 'x-envoy-auth-partial-body': String(body.isPart) }),
    };
    return {
      attributes: {
        source: {
          ...placeOf(connection.sourceIp),
          principal: isAnonymous(peer) ? '' : nameOf(peer),
        },
        destination: {
          ...placeOf(connection.destinationIp, connection.destinationPort),
          principal: self ?? '',
        },
        request: {
          http: {
            ...{ method, headers, path: whole, host, scheme, protocol: 'HTTP/1.1' },
            size: body?.bytes.byteLength ?? -1,
            ...(body !== undefined &&
              (packAsBytes
                ? { rawBody: body.bytes }
                : { body: Buffer.from(body.bytes).toString('utf8') })),
          },
        },
        ...(connection.serverName !== undefined && { tlsSession: { sni: connection.serverName } }),
      },
    };
  }
}

async function* whole(body: Uint8Array): AsyncGenerator<Uint8Array> {
  yield body;
}

/** One unary call, to the end of its answer. */
class Call implements UpstreamHandler {
  readonly #resolve: (answer: Buffer) => void;
  readonly #reject: (thrown: Error) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #chunks: Uint8Array[] = [];
  #controller: UpstreamController | undefined;
  #late: Error | undefined;
  #status = 0;
  #length = 0;
  #heads: UpstreamController['rawHeaders'] = [];

  constructor(ms: number, resolve: (answer: Buffer) => void, reject: (thrown: Error) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(() => this.#fail(new Error(`no answer within ${ms} ms`)), ms);
  }

  onRequestStart(controller: UpstreamController): void {
    this.#controller = controller;
    if (this.#late !== undefined) controller.abort(this.#late);
  }

  onRequestUpgrade(
    _controller: UpstreamController,
    _status: number,
    _headers: unknown,
    socket: import('node:stream').Duplex,
  ): void {
    socket.destroy();
    this.#fail(new Error('switched protocols unasked'));
  }

  onResponseStart(controller: UpstreamController, status: number): void {
    this.#status = status;
    this.#heads = controller.rawHeaders;
  }

  onResponseData(_controller: UpstreamController, chunk: Uint8Array): void {
    this.#length += chunk.byteLength;
    if (this.#length <= longestAnswer) this.#chunks.push(chunk);
    else this.#fail(new Error(`an answer of more than ${longestAnswer} bytes`));
  }

  onResponseEnd({ rawTrailers }: UpstreamController): void {
    clearTimeout(this.#timer);
    const status = lineOf(rawTrailers, 'grpc-status') ?? lineOf(this.#heads, 'grpc-status');
    if (this.#status === 200 && status === '0')
      return void this.#resolve(Buffer.concat(this.#chunks));
    const shown = `status ${this.#status}, grpc-status ${status ?? 'none'}`;
    this.#reject(new Error(`it answered with ${shown}, expected 200 and 0`));
  }

  onResponseError(_controller: UpstreamController | undefined, thrown: Error): void {
    clearTimeout(this.#timer);
    this.#reject(this.#late ?? thrown);
  }

  #fail(reason: Error): void {
    this.#late ??= reason;
    this.#controller?.abort(reason);
    clearTimeout(this.#timer);
    this.#reject(reason);
  }
}

function lineOf(raw: UpstreamController['rawTrailers'], name: string): string | undefined {
  const lines = (Array.isArray(raw) ? raw : []).map(String);
  const at = lines.findIndex((each, i) => i % 2 === 0 && each.toLowerCase() === name);
  return at === -1 ? undefined : lines[at + 1];
}

function answerOf({ status, deniedResponse, okResponse }: CheckResponse): ExternalAnswer {
  // An absent code is 0 in protobuf, an absent status no answer.
  if (status === undefined) throw new Error('its answer has no status');
  if ((status.code ?? 0) === 0) {
    const {
      headers = [],
      headersToRemove: remove = [],
      responseHeadersToAdd = [],
      queryParametersToSet = [],
      queryParametersToRemove = [],
    } = okResponse ?? {};
    return {
      ok: true,
      changes: {
        request: { ...changesOf(headers, 'set'), remove },
        response: changesOf(responseHeadersToAdd, 'add'),
        query: {
          set: queryParametersToSet.map(({ key, value = '' }) => [key, value] as const),
          remove: queryParametersToRemove,
        },
      },
    };
  }
  const code = deniedResponse?.status?.code ?? 403;
  const refused = denial('ERR_AUTHZ_DENIED', `its status is ${status.code}, it answers ${code}`, {
    providerStatus: status.code,
  });
  const isStatus = Number.isInteger(code) && code >= 200 && code <= 599;
  const headers = (deniedResponse?.headers ?? []).map(lineFrom);
  const body = deniedResponse?.body ?? '';
  return { ...refused, response: { status: isStatus ? code : 403, headers, body } };
}

/** @param usual what becomes of a header about which nothing is said: Envoy sets those of requests, and adds those of responses */
function changesOf(options: readonly HeaderOption[], usual: 'set' | 'add'): ExternalHeaders {
  const kindOf = ({ append, appendAction = 0 }: HeaderOption): keyof ExternalHeaders => {
    if (append !== undefined) return append.value === true ? 'add' : 'set';
    return actions[appendAction] ?? usual;
  };
  const of = (kind: keyof ExternalHeaders) =>
    options.filter((each) => kindOf(each) === kind).map(lineFrom);
  return { set: of('set'), add: of('add'), addIfAbsent: of('addIfAbsent') };
}

const actions: Readonly<Record<number, keyof ExternalHeaders>> = {
  1: 'addIfAbsent',
  2: 'set',
  3: 'set',
};

function lineFrom({ header }: HeaderOption): readonly [string, string] {
  const { key = '', value = '', rawValue } = header ?? {};
  const isRaw = rawValue !== undefined && rawValue.byteLength > 0;
  return [key, isRaw ? Buffer.from(rawValue).toString('latin1') : value];
}

/** Lines of one name are one value to the service, as Envoy has it. */
function joined(raw: readonly string[]): Record<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name, value] = [raw[i]?.toLowerCase() ?? '', raw[i + 1] ?? ''];
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(headers);
}

function placeOf(address: string | undefined, portValue?: number): { address?: SocketPlace } {
  if (address === undefined) return {};
  return { address: { socketAddress: { address, ...(portValue !== undefined && { portValue }) } } };
}

function nameOf(peer: Exclude<AuthzQuestion['peer'], { kind: 'anonymous' }>): string {
  if (peer.spiffeId !== undefined) return peer.spiffeId.toString();
  const name = peer.names.find(({ kind }) => kind === 'uri' || kind === 'dns');
  return name !== undefined && 'value' in name ? String(name.value) : formatName(peer.leaf.subject);
}
