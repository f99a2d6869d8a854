import { Permit } from '@countersign/authz';
import type { Log } from '@countersign/base';
import type { Dispatcher } from 'undici';
import { setHost } from './model/header-operations.ts';
import type { BodyRecord } from './request-body.ts';
import type { RequestHead } from './request-head.ts';
import type { Cluster } from './upstream/cluster.ts';
import type { UpstreamController, UpstreamHandler } from './upstream/upstream-request.ts';

export interface Mirrored {
  readonly head: RequestHead;
  readonly path: string;
  /** As the upstream gets them. */
  readonly headers: readonly string[];
  /** Undefined where the request has none. */
  readonly record: BodyRecord | undefined;
  readonly log: Log;
}

/** What is longer is not mirrored, nor sent again. */
export const longestRepeatedBody = 64 * 1024;

/**
 * Sends a copy of a permitted request to a cluster that nobody waits for; what is answered is dropped. The host says
 * that it is a copy, as Envoy's does. A copy that the cluster has no room for is not sent.
 */
export function mirrorRequest(
  permit: Permit,
  cluster: Cluster,
  { head, path, headers, record, log }: Mirrored,
): void {
  // The type already says so; this holds where types don't.
  if (!Permit.is(permit) || permit.scope !== 'request') {
    throw new TypeError('mirrorRequest takes a permit for a request');
  }
  const upstream = cluster.pick();
  const cannot = record !== undefined && !record.isWhole;
  if (upstream === undefined || cannot || !cluster.admission.begin()) {
    log.debug({ cluster: cluster.model.name }, 'request not mirrored');
    return;
  }
  const copy = [...headers];
  setHost(copy, shadowOf(head.authority));
  upstream.inFlight += 1;
  const over = (): void => {
    upstream.inFlight -= 1;
    cluster.admission.ended();
  };
  const { headersTimeoutMs, idleTimeoutMs } = cluster.model;
  const { isGrpc, takesTrailers } = head;
  upstream.dispatch(
    {
      ...{ method: head.method as Dispatcher.HttpMethod, path, headers: copy },
      body: record === undefined ? null : chunksOf(record),
      ...{ headersTimeout: headersTimeoutMs, bodyTimeout: idleTimeoutMs, isGrpc, takesTrailers },
    },
    new Dropped(over),
  );
}

/** `shop.example.com:8443` is `shop.example.com-shadow:8443`. */
function shadowOf(authority: string): string {
  return authority.replace(/(?::\d+)?$/, (port) => `-shadow${port}`);
}

async function* chunksOf({ chunks }: BodyRecord): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

class Dropped implements UpstreamHandler {
  #over: (() => void) | undefined;

  constructor(over: () => void) {
    this.#over = over;
  }

  onRequestStart(): void {}

  onRequestUpgrade(
    _controller: UpstreamController,
    _status: number,
    _headers: unknown,
    socket: import('node:stream').Duplex,
  ): void {
    socket.destroy();
    this.#end();
  }

  onResponseStart(): void {}

  onResponseData(): void {}

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(): void {
    this.#end();
  }

  #end(): void {
    this.#over?.();
    this.#over = undefined;
  }
}
