import { readFileSync } from 'node:fs';
import { protoFiles } from '@countersign/wire';
import protobuf from 'protobufjs';

/** `envoy.service.auth.v3.CheckRequest`, as far as it is filled. */
export interface CheckRequest {
  readonly attributes: {
    readonly source: { readonly address?: SocketPlace; readonly principal: string };
    readonly destination: { readonly address?: SocketPlace; readonly principal: string };
    readonly request: {
      readonly http: {
        readonly method: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly path: string;
        readonly host: string;
        readonly scheme: string;
        readonly size: number;
        readonly protocol: string;
        readonly body?: string;
        readonly rawBody?: Uint8Array;
      };
    };
    readonly tlsSession?: { readonly sni: string };
  };
}

export interface SocketPlace {
  readonly socketAddress: { readonly address: string; readonly portValue?: number };
}

export interface HeaderOption {
  readonly header?: { readonly key: string; readonly value: string; readonly rawValue: Uint8Array };
  readonly append?: { readonly value: boolean };
  readonly appendAction: number;
}

/** `envoy.service.auth.v3.CheckResponse`. */
export interface CheckResponse {
  readonly status?: { readonly code: number; readonly message: string };
  readonly deniedResponse?: {
    readonly status?: { readonly code: number };
    readonly headers: readonly HeaderOption[];
    readonly body: string;
  };
  readonly okResponse?: {
    readonly headers: readonly HeaderOption[];
    readonly headersToRemove: readonly string[];
    readonly responseHeadersToAdd: readonly HeaderOption[];
    readonly queryParametersToSet: readonly { readonly key: string; readonly value: string }[];
    readonly queryParametersToRemove: readonly string[];
  };
}

export const checkPath = '/envoy.service.auth.v3.Authorization/Check';

let types: { readonly request: protobuf.Type; readonly response: protobuf.Type } | undefined;

/** Read where the first service is asked: most gateways have none. */
function checkTypes() {
  if (types !== undefined) return types;
  const { root } = protobuf.parse(readFileSync(protoFiles.extAuthz, 'utf8'));
  const typeOf = (name: string) => root.lookupType(`envoy.service.auth.v3.${name}`);
  types = { request: typeOf('CheckRequest'), response: typeOf('CheckResponse') };
  return types;
}

/** In the frame of a gRPC message. */
export function encodeCheck(message: CheckRequest): Uint8Array {
  const { request } = checkTypes();
  const bytes = request.encode(request.fromObject(message)).finish();
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, 5);
  return frame;
}

/** @throws Error for what is no such message in one frame */
export function decodeCheck(frame: Buffer): CheckResponse {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) {
    throw new Error('its answer is no single uncompressed gRPC message');
  }
  const { response } = checkTypes();
  const options = { arrays: true, defaults: false } as const;
  const read = response.toObject(response.decode(frame.subarray(5)), options);
  return read as CheckResponse;
}
