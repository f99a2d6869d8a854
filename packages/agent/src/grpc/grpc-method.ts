import { type CallStatus, callStatus } from './grpc-status.ts';
import type { ServerCall } from './server-call.ts';

/** What a method is called, and how its requests are read; its answers are bytes, written once for all who ask alike. */
export interface MethodShape<Request> {
  /** `/SERVICE/METHOD`. */
  readonly path: string;
  readonly request: RequestReader<Request>;
}

interface RequestReader<Request> {
  /** @throws what it likes where the bytes are no such message */
  decode(bytes: Uint8Array): Request;
}

/** Takes the requests of one call. */
export interface RequestSink {
  message(bytes: Uint8Array): void;
  /** The caller has said all that it wants to say. */
  ended(): void;
}

/** A method as it is served. What it cannot take is paused until it can. */
export interface GrpcMethod {
  readonly path: string;
  /** @returns undefined where the call was ended instead */
  begin(call: ServerCall): RequestSink | Promise<RequestSink | undefined>;
}

/** One request, one answer. */
export function unary<Request>(
  { path, request }: MethodShape<Request>,
  answer: (call: ServerCall, request: Request) => Promise<Uint8Array | CallStatus>,
): GrpcMethod {
  return {
    path,
    begin: (call) =>
      new OneRequest(call, request, (asked) => {
        answer(call, asked).then(
          (answered) => {
            if (!(answered instanceof Uint8Array)) return call.end(answered);
            call.send(answered);
            call.end();
          },
          () => call.end(callStatus('internal', 'the call failed')),
        );
      }),
  };
}

/** One request, and answers until the call is over. */
export function serverStream<Request>(
  { path, request }: MethodShape<Request>,
  begin: (call: ServerCall, request: Request) => void,
): GrpcMethod {
  return {
    path,
    begin: (call) => new OneRequest(call, request, (asked) => begin(call, asked)),
  };
}

/** Requests and answers as either side likes. */
export function duplex<Request>(
  { path, request }: MethodShape<Request>,
  begin: (call: ServerCall) => Promise<((request: Request) => void) | undefined>,
): GrpcMethod {
  return {
    path,
    async begin(call) {
      const asked = await begin(call);
      if (asked === undefined) return undefined;
      return {
        message(bytes) {
          const read = readRequest(call, request, bytes);
          if (read !== undefined) asked(read.value);
        },
        ended: () => call.end(),
      };
    },
  };
}

class OneRequest<Request> implements RequestSink {
  readonly #call: ServerCall;
  readonly #reader: RequestReader<Request>;
  readonly #serve: (request: Request) => void;
  #request: { readonly value: Request } | undefined;

  constructor(call: ServerCall, reader: RequestReader<Request>, serve: (request: Request) => void) {
    this.#call = call;
    this.#reader = reader;
    this.#serve = serve;
  }

  message(bytes: Uint8Array): void {
    if (this.#request !== undefined) this.#refuse('more');
    else this.#request = readRequest(this.#call, this.#reader, bytes);
  }

  ended(): void {
    if (this.#request === undefined) this.#refuse('none');
    else this.#serve(this.#request.value);
  }

  /** By gRPC's statuscodes.md, §Request cardinality violation. */
  #refuse(count: 'none' | 'more'): void {
    this.#call.end(callStatus('unimplemented', `one request was expected, ${count} came`));
  }
}

function readRequest<Request>(
  call: ServerCall,
  reader: RequestReader<Request>,
  bytes: Uint8Array,
): { readonly value: Request } | undefined {
  try {
    return { value: reader.decode(bytes) };
  } catch {
    call.end(callStatus('internal', 'the request is no such message'));
    return undefined;
  }
}
