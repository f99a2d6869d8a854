import type { Meter } from '@countersign/base';

/**
 * What became of a request. `answered`: by a route of ours, without an upstream. `left`: the client went away before its
 * answer was whole.
 */
export type RequestResult = 'forwarded' | 'answered' | 'denied' | 'malformed' | 'failed' | 'left';

export interface GatewayMetrics {
  /** @param status HTTP status that the client got; 0 for none */
  request(result: RequestResult, status: number, seconds: number): void;
  /** A connection whose bytes were passed through. @param received bytes from the client @param sent bytes to it */
  tunnel(result: RequestResult, received: number, sent: number, seconds: number): void;
}

export function gatewayMetrics(meter: Meter): GatewayMetrics {
  const requests = meter.counter({
    name: 'countersign_requests_total',
    help: 'Requests by what became of them and the class of the status that was answered.',
    labels: ['result', 'status'],
  });
  const duration = meter.histogram({
    name: 'countersign_request_seconds',
    help: 'From the head of a request to the end of its response.',
    labels: ['result'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  });
  const tunnels = meter.counter({
    name: 'countersign_tunnels_total',
    help: 'TCP connections through listeners of protocol tcp, by what became of them.',
    labels: ['result'],
  });
  const tunnelBytes = meter.counter({
    name: 'countersign_tunnel_bytes_total',
    help: 'Bytes that tunnels have passed on, from clients (received) and to them (sent).',
    labels: ['direction'],
  });
  const tunnelDuration = meter.histogram({
    name: 'countersign_tunnel_seconds',
    help: 'How long tunnels lasted.',
    buckets: [0.01, 0.1, 1, 10, 60, 600, 3600, 36_000],
  });
  return {
    request(result, status, seconds) {
      const statusClass = status === 0 ? 'none' : `${Math.floor(status / 100)}xx`;
      requests.add(1, { result, status: statusClass });
      duration.observe(seconds, { result });
    },
    tunnel(result, received, sent, seconds) {
      tunnels.add(1, { result });
      tunnelBytes.add(received, { direction: 'received' });
      tunnelBytes.add(sent, { direction: 'sent' });
      tunnelDuration.observe(seconds);
    },
  };
}
