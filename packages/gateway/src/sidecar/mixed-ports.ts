import type { MtlsMode } from '@countersign/authz';
import { type Denial, denial } from '@countersign/base';
import type { PeerOf } from '@countersign/mtls';

/** Ports that take TLS, plaintext or both: what each takes now, and who came how. */
export interface MixedPorts {
  /** @param listener its name */
  modeOf(listener: string): MtlsMode;
  /** For the status page. */
  report?(): readonly object[];
  /** Told of each connection whose first octets were seen, refused ones included. */
  seen(listener: string, connection: SeenConnection): void;
}

export interface SeenConnection {
  /** The other end's. */
  readonly address: string;
  /** Verified, anonymous over TLS, or `plaintext`. */
  readonly peer: PeerOf | 'plaintext';
  /** By the mode of the port. */
  readonly isRefused: boolean;
}

/** Where nobody says anything. */
export const strictPorts: MixedPorts = { modeOf: () => 'STRICT', seen: () => {} };

/** What is against every connection in plaintext, as the mode is now: the same admits and cuts. */
export function refusalOfPlaintext(
  ports: MixedPorts,
  { name, port }: { readonly name: string; readonly port: number },
): Denial | undefined {
  if (ports.modeOf(name) !== 'STRICT') return undefined;
  const detail = `plaintext to port ${port} ("${name}"), which takes mTLS alone (STRICT)`;
  return denial('ERR_SIDECAR_PLAINTEXT', detail, { listener: name, port });
}
