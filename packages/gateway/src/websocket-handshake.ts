import { createHash, randomBytes } from 'node:crypto';
import { type Denial, denial } from '@countersign/base';

/** A nonce of our own: the client's is between it and us (RFC 6455 §4.1). */
export function newWebSocketKey(): string {
  return randomBytes(16).toString('base64');
}

// RFC 6455 §4.2.2
export function webSocketAccept(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/**
 * Whether an upstream that says 101 means this handshake: one that does not know WebSocket would take what follows for
 * requests, which nobody would have asked the rules about.
 *
 * @param raw names and values alternating
 */
export function wrongWithAccept(raw: readonly string[], key: string): Denial | undefined {
  const upgrade = headerOf(raw, 'upgrade')?.toLowerCase();
  if (upgrade !== 'websocket') {
    return denial('ERR_UPSTREAM_BROKE', `switched to "${upgrade}", expected websocket`);
  }
  if (headerOf(raw, 'sec-websocket-accept')?.trim() === webSocketAccept(key)) return undefined;
  return denial('ERR_UPSTREAM_BROKE', 'switched to websocket without proof that it knows it');
}

function headerOf(raw: readonly string[], name: string): string | undefined {
  const at = raw.findIndex((each, i) => i % 2 === 0 && each.toLowerCase() === name);
  return at < 0 ? undefined : raw[at + 1];
}
