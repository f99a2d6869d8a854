import type { IncomingMessage } from 'node:http';
import { join, resolve } from 'node:path';
import { CountersignError, type Log, messageOf, nodeHttp } from '@countersign/base';
import { z } from 'zod';
import { listenOnPath } from '../local-socket.ts';
import type { PortReadiness, SidecarPorts } from './sidecar-ports.ts';

export interface ControlServer {
  close(): Promise<void>;
}

const socketName = 'sidecar.sock';
/** `sockaddr_un` holds 104 octets on macOS and 108 on Linux, with a terminating zero. */
const longestPath = 103;
const mostBytes = 4096;

const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('readiness'), quietMs: z.number().min(0) }),
  z.strictObject({
    ...{ do: z.literal('enforce'), port: z.int(), quietMs: z.number().min(0) },
    ...{ budget: z.int().min(0), windowMs: z.number().min(0) },
  }),
  z.strictObject({ do: z.literal('undo'), port: z.int(), quietMs: z.number().min(0) }),
]);
export type ControlRequest = z.output<typeof requestSchema>;

type Answer =
  | { readonly ok: true; readonly ports: readonly PortReadiness[] }
  | { readonly ok: false; readonly code: 'ERR_SIDECAR_PORT'; readonly message: string };

/**
 * The operator's door of a running sidecar: a socket in its data directory, for the directory's owner alone (0600).
 * Nothing of it is on the admin port, through which nothing can be changed.
 *
 * @throws CountersignError ERR_LISTEN, also where another sidecar has the directory
 */
export async function startControlServer(
  data: string,
  ports: SidecarPorts,
  { log, saved }: { readonly log: Log; readonly saved: () => Promise<unknown> },
): Promise<ControlServer> {
  const path = controlPath(data);
  const server = nodeHttp().createServer({ requestTimeout: 5000 }, (request, response) => {
    answer(request, ports, saved).then(
      (found) => response.end(JSON.stringify(found)),
      (thrown) => {
        log.warn({ reason: messageOf(thrown) }, 'control request failed');
        response.writeHead(400).end();
      },
    );
  });
  server.maxConnections = 16;
  await listenOnPath(server, path);
  server.on('error', (thrown) => log.error({ err: thrown }, 'control socket failed'));
  return {
    async close() {
      server.closeAllConnections();
      await new Promise<void>((closed) => server.close(() => closed()));
    },
  };
}

/**
 * Asks the sidecar of a data directory.
 *
 * @throws CountersignError ERR_SIDECAR_CONTROL, ERR_SIDECAR_PORT
 */
export async function askSidecar(
  data: string,
  asked: ControlRequest,
): Promise<readonly PortReadiness[]> {
  const path = controlPath(data);
  const text = await new Promise<string>((done, failed) => {
    const broken = (thrown: Error) => {
      const message = `ask the sidecar at "${path}": ${thrown.message}`;
      failed(new CountersignError('ERR_SIDECAR_CONTROL', message, { cause: thrown }));
    };
    const sent = nodeHttp().request({ socketPath: path, method: 'POST', timeout: 5000 }, (got) => {
      readAll(got, Number.POSITIVE_INFINITY).then(done, broken);
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', broken);
    sent.end(JSON.stringify(asked));
  });
  if (text === '') {
    throw new CountersignError('ERR_SIDECAR_CONTROL', `the sidecar at "${path}" refused to answer`);
  }
  const found = JSON.parse(text) as Answer;
  if (!found.ok) throw new CountersignError(found.code, found.message);
  return found.ports;
}

async function answer(
  request: IncomingMessage,
  ports: SidecarPorts,
  saved: () => Promise<unknown>,
): Promise<Answer> {
  const asked = requestSchema.parse(JSON.parse(await readAll(request, mostBytes)));
  try {
    if (asked.do === 'enforce') ports.enforce(asked.port, asked);
    if (asked.do === 'undo') ports.undo(asked.port);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return { ok: false, code: 'ERR_SIDECAR_PORT', message: thrown.message };
  }
  if (asked.do !== 'readiness') await saved();
  return { ok: true, ports: ports.report(asked.quietMs) };
}

async function readAll(stream: AsyncIterable<unknown>, most: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > most) throw new Error(`more than ${most} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function controlPath(data: string): string {
  const path = join(resolve(data), socketName);
  if (Buffer.byteLength(path) <= longestPath) return path;
  const message = `"${path}" is longer than a socket's ${longestPath} bytes; choose a shorter --data`;
  throw new CountersignError('ERR_LISTEN', message);
}
