import type { TLSSocket } from 'node:tls';
import { SignatureCache } from '@countersign/x509';
import { type Dialled, type DialOptions, dialMtls } from './dial-mtls.ts';

/** The part of undici's `connect` options that is used here. */
export interface ConnectorRequest {
  readonly hostname: string;
  /** Empty for the default port of `protocol`. */
  readonly port: string;
  readonly protocol: string;
}

export type ConnectorCallback = (
  ...result: [failed: null, socket: TLSSocket] | [failed: Error, socket: null]
) => void;

export type MtlsConnectorOptions = Omit<DialOptions, 'host' | 'port'> & {
  /** Told of each connection once it is established. */
  readonly onDialled?: (dialled: Dialled) => void;
};

/**
 * What undici's `Agent`, `Pool` and `Client` take as `connect`: every connection is dialled by {@link dialMtls}.
 * Give them an `http:` origin: for `https:` ones undici itself reconnects whenever the Host header changes.
 */
export function mtlsConnector(
  options: MtlsConnectorOptions,
): (request: ConnectorRequest, callback: ConnectorCallback) => void {
  const signatures = options.signatures ?? new SignatureCache();
  return function connectMtls(request, callback) {
    const host = request.hostname.replace(/^\[(.*)\]$/, '$1');
    const defaultPort = request.protocol === 'http:' ? 80 : 443;
    const port = request.port === '' ? defaultPort : Number(request.port);
    dialMtls({ ...options, signatures, host, port }).then(
      (dialled) => {
        options.onDialled?.(dialled);
        callback(null, dialled.socket);
      },
      (thrown: Error) => callback(thrown, null),
    );
  };
}
