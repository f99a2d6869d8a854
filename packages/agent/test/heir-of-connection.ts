// Run by a test: connects to the agent, and leaves the connection to a child of its own, which asks once its parent is gone.
import { spawn } from 'node:child_process';
import { connect as connectHttp2 } from 'node:http2';
import { connect, Socket } from 'node:net';
import process from 'node:process';

const [, self = '', path = ''] = process.argv;

if (path === 'heir') askOnInherited();
else leaveConnection(path);

function leaveConnection(socketPath: string): void {
  const socket = connect(socketPath, () => {
    const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
    const heir = spawn(process.execPath, [self, 'heir', String(process.pid)], {
      stdio: ['ignore', 'inherit', 'inherit', handle.fd],
      detached: true,
    });
    heir.once('spawn', () => process.exit(0));
  });
}

function askOnInherited(): void {
  const parent = Number(process.argv[3]);
  const waiting = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(waiting);
    const session = connectHttp2('http://localhost', {
      createConnection: () => new Socket({ fd: 3 }),
    });
    const request = session.request({
      ':method': 'POST',
      ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
      'content-type': 'application/grpc',
      te: 'trailers',
      'workload.spiffe.io': 'true',
    });
    const tell = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] === undefined) return;
      process.stdout.write(`grpc-status ${headers['grpc-status']}\n`, () => process.exit(0));
    };
    request.on('response', tell);
    request.on('trailers', tell);
    request.on('data', () => process.stdout.write('data\n', () => process.exit(1)));
    request.end(Buffer.alloc(5));
  }, 5);
}
