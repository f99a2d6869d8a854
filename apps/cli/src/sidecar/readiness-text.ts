import { formatDuration } from '@countersign/base';
import type { PortReadiness } from '@countersign/gateway';

/** Of people's terminals: no more callers than fit. */
const mostShown = 20;

export function readinessText(ports: readonly PortReadiness[]): string {
  if (ports.length === 0) return 'no inbound ports\n';
  return ports.map(portText).join('\n');
}

function portText(port: PortReadiness): string {
  const { callers, enforcement } = port;
  const lines = [
    `port ${port.port}: ${port.mode} by ${port.by}; ${port.isSafe ? 'safe' : 'NOT SAFE'} to be STRICT: ${port.reason}`,
    `  watched for ${spell(port.watchedMs)}: ${port.mtls} connections with mTLS, ${port.plaintext} in plaintext`,
    ...callers.slice(0, mostShown).map(callerText),
  ];
  const left = callers.length - mostShown;
  if (left > 0) lines.push(`  and ${left} callers more (-o json lists them)`);
  if (port.forgotten > 0) lines.push(`  and ${port.forgotten} older callers, not kept`);
  if (enforcement !== undefined) {
    const { state, refused, budget, windowMs } = enforcement;
    const since = timeOf(enforcement.startedAt);
    const of = `${refused} refused of a budget of ${budget} in ${spell(windowMs)}, since ${since}`;
    lines.push(`  enforcement: ${state}, ${of}`);
  }
  return `${lines.join('\n')}\n`;
}

function callerText({ address, names, count, refused, lastAt }: PortReadiness['callers'][number]) {
  const who = names.length === 0 ? 'no name known' : `also seen as ${names.join(', ')}`;
  const of = refused === 0 ? '' : ` (${refused} refused)`;
  return `  plaintext from ${address}, ${who}: ${count} times${of}, last ${timeOf(lastAt)}`;
}

function spell(ms: number): string {
  return formatDuration(Math.round(ms / 1000) * 1000);
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
