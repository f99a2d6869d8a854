import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener } from '@countersign/mtls';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import type { TestCa } from '@countersign/testkit';
import { Busboy } from '@fastify/busboy';
import { bundleOf, serviceSvid } from '../router-world.suite.ts';
import type { TestSubgraph } from '../subgraph.suite.ts';

export interface ReceivedForm {
  readonly headers: IncomingMessage['headers'];
  readonly fields: Record<string, string>;
  readonly files: { readonly name: string; readonly filename: string; readonly sha256: string }[];
  isWhole: boolean;
}

/** A subgraph that takes forms, and answers how many bytes it was sent; what it was sent is kept. */
export function uploadSubgraph(received: ReceivedForm[], sdl: string) {
  return async (ca: TestCa): Promise<TestSubgraph> => {
    const front = createServer((request, response) => {
      const form: ReceivedForm = {
        headers: request.headers,
        fields: {},
        files: [],
        isWhole: false,
      };
      received.push(form);
      let bytes = 0;
      const parser = new Busboy({ headers: request.headers as { 'content-type': string } });
      parser.on('field', (name, value) => {
        form.fields[name] = value;
      });
      parser.on('file', (name, stream, filename) => {
        const hash = createHash('sha256');
        stream.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          hash.update(chunk);
        });
        stream.once('end', () => form.files.push({ name, filename, sha256: hash.digest('hex') }));
      });
      parser.once('finish', () => {
        form.isWhole = true;
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ data: { store: bytes } }));
      });
      parser.on('error', () => {});
      request.pipe(parser);
    });
    const listener = createMtlsListener({
      name: 'files',
      svids: staticSvid(serviceSvid(ca, 'files')),
      bundles: staticBundles(bundleOf(ca)),
      clientAuth: 'require',
      ...{ clock: systemClock, log: noLog, meter: noMeter },
      onConnection: (socket) => void front.emit('connection', socket),
    });
    const { port } = await listener.listen(0, '127.0.0.1');
    return {
      ...{ name: 'files', sdl, port, requests: [], url: `https://localhost:${port}/graphql` },
      async close() {
        await listener.close(0);
        front.close();
      },
    };
  };
}
