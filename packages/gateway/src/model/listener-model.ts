import type { PeerExpectation } from './cluster-model.ts';
import type { RateLimitModel } from './rate-limit-model.ts';
import type { RbacModel } from './rbac-model.ts';

/** Where clients connect. */
export interface ListenerModel {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Instead of both, in clear text alone: a Unix socket for its owner's processes. */
  readonly path?: string;
  /** Networks of the proxies that begin each connection with a PROXY header; absent: none does. */
  readonly proxyProtocolFrom?: readonly string[];
  /** Of a sidecar's listeners; absent: as its chains say. */
  readonly role?: SidecarRole;
  /** The one with the most specific name of the server takes a connection; the one without names takes the others. */
  readonly chains: readonly [ChainModel, ...ChainModel[]];
}

/** What a listener is to the application that a sidecar stands beside. */
export type SidecarRole =
  | {
      /** Before the application: TLS, plaintext or both on one port, as the mode of the port is now. */
      readonly kind: 'inbound';
      /** The application's own, by which policies know it. */
      readonly port: number;
      /** A client that says nothing for so long waits for the server to speak, in plaintext; 0: none does. */
      readonly serverFirstMs: number;
    }
  | {
      /** For the application, whom no policy is asked about: what it asks here goes to one upstream. */
      readonly kind: 'outbound';
    }
  | {
      /** The same, told by each request: an HTTP proxy. */
      readonly kind: 'proxy';
    }
  | {
      /** The same, told by the kernel: connections that the redirect rules caught. */
      readonly kind: 'redirected';
    };

/** How a connection is met, and what becomes of it. */
export interface ChainModel {
  readonly name: string;
  /** Lowercase: a name, or `*.example.com`. Empty: whatever the client asked for. */
  readonly serverNames: readonly string[];
  /** What clients may speak: `auto` is HTTP/2 for those that offer it, else HTTP/1.1; `tcp` is any bytes. */
  readonly protocol: 'h1' | 'h2' | 'auto' | 'tcp';
  /** Absent: clear text, of every chain of the listener. */
  readonly tls?: ServerTlsModel;
  /** Of HTTP: the name of the route table. */
  readonly table?: string;
  /** What upstreams are told of clients' certificates; absent: all that the gateway knows. */
  readonly identityHeaders?: ClientCertDetails;
  /** What upstreams are told of callers beside, by the name of the header. */
  readonly callerHeaders?: Readonly<Record<string, CallerFact>>;
  /** What upstreams are told is signed for each of them as well. */
  readonly signsHops?: boolean;
  /** Each request is told in the log. */
  readonly logsAccess?: boolean;
  /** Whether requests for WebSockets are refused. */
  readonly refusesUpgrades?: boolean;
  /** What its callers may ask, before what their routes say. */
  readonly rateLimits?: readonly RateLimitModel[];
  /** What requests have to pass beside the policies. */
  readonly rbac?: readonly RbacModel[];
  /** Of `tcp`: the name of the cluster. */
  readonly cluster?: string;
}

/** The SPIFFE ID, the subject, or the first name of a kind. */
export type CallerFact = 'spiffeId' | 'subject' | 'dns' | 'uri' | 'email';

/** Envoy's modes of `x-forwarded-client-cert`, and the parts of an element that are written beside its hash. */
export interface ClientCertDetails {
  readonly mode:
    | 'SANITIZE'
    | 'FORWARD_ONLY'
    | 'APPEND_FORWARD'
    | 'SANITIZE_SET'
    | 'ALWAYS_FORWARD_ONLY';
  readonly fields: Readonly<Record<'subject' | 'cert' | 'chain' | 'dns' | 'uri', boolean>>;
}

export interface ServerTlsModel {
  readonly clientAuth: 'require' | 'request' | 'none';
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** The same for all chains of a listener; absent: all that are spoken. */
  readonly suites?: { readonly ciphers?: readonly string[]; readonly groups?: readonly string[] };
  /** What we show: `own` is the gateway's identity, else a name of the model's identities. */
  readonly identity: 'own' | { readonly name: string };
  /** Who vouches for clients: `own` is the bundle of the gateway's identity, else a name of the model's trusts. */
  readonly trust: 'own' | { readonly name: string };
  readonly expect?: PeerExpectation;
}
