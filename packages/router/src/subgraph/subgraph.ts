import type { VerifiedPeer } from '@countersign/spiffe';
import type { SubgraphAnswer } from '../execute/response-error.ts';
import type { EventRequest } from '../subscribe/sse-source.ts';
import type {
  SentRequest,
  SubgraphOutcome,
  SubgraphSettings,
  SubgraphStatus,
} from './subgraph-client.ts';
import type { Trust } from './subgraph-pool.ts';

/** A subgraph as the engine calls it, whatever it speaks. */
export interface Subgraph {
  readonly settings: SubgraphSettings;
  readonly trust: Trust;
  /** Who answered at the newest connection. */
  readonly peer: VerifiedPeer | undefined;
  /** Never rejects. */
  send(request: SentRequest): Promise<SubgraphOutcome>;
  /** The answers to a subscription. @throws CountersignError and what breaks the connection */
  events(request: EventRequest): AsyncGenerator<SubgraphAnswer>;
  /** What it says of itself, for composition. @throws CountersignError */
  sdl(): Promise<string>;
  status(): SubgraphStatus;
  /** Lets requests in flight end. */
  close(): Promise<void>;
  destroy(): Promise<void>;
}
