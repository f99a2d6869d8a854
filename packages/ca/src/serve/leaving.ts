import type { ServerResponse } from 'node:http';

/** A signal for those who ask for it: most requests are answered before anybody could leave. */
export function leaving(response: ServerResponse): () => AbortSignal {
  return function left() {
    const gone = new AbortController();
    if (response.destroyed) gone.abort();
    else response.once('close', () => gone.abort());
    return gone.signal;
  };
}
