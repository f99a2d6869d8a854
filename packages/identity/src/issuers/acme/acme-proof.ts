import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import type { Server } from 'node:http';
import { type Clock, CountersignError, messageOf, nodeHttp } from '@countersign/base';
import { freePortHint, showByTls } from './show-by-tls.ts';

/** How control of a name is shown. */
export type AcmeProof =
  | {
      readonly method: 'http-01';
      /** Of the listener, while names are validated; 80 unless given, where authorities call. */
      readonly port?: number | undefined;
      /** All of the machine's unless given. */
      readonly address?: string | undefined;
    }
  | {
      readonly method: 'tls-alpn-01';
      /** Of the listener, while names are validated; 443 unless given, where authorities call. */
      readonly port?: number | undefined;
      /** All of the machine's unless given. */
      readonly address?: string | undefined;
    }
  | {
      readonly method: 'dns-01';
      /**
       * A program and its first arguments, run with `present` or `cleanup`, the record's name with a dot at its end, and its
       * text, as lego's `exec` provider does. `present` is to return once the record can be seen.
       */
      readonly command: readonly string[];
      /** For each run. 120,000 unless given. */
      readonly timeoutMs?: number | undefined;
    };

/** What is shown while challenges are looked at. */
export interface ShownProof {
  stop(): Promise<void>;
}

export interface Challenge {
  /** DNS name or address, without `*.`. */
  readonly name: string;
  readonly token: string;
  /** RFC 8555 §8.1. */
  readonly keyAuthorization: string;
}

/** @throws CountersignError ERR_ISSUER_CONFIG where the port cannot be had, or the command fails */
export async function showProof(
  proof: AcmeProof,
  challenges: readonly Challenge[],
  clock: Clock,
): Promise<ShownProof> {
  if (proof.method === 'http-01') return showByHttp(proof, challenges);
  if (proof.method === 'tls-alpn-01') return showByTls(proof, challenges, clock);
  return showByDns(proof, challenges);
}

const wellKnown = '/.well-known/acme-challenge/';

/** RFC 8555 §8.3. */
async function showByHttp(
  { port = 80, address }: Extract<AcmeProof, { method: 'http-01' }>,
  challenges: readonly Challenge[],
): Promise<ShownProof> {
  const answers = new Map(
    challenges.map(({ token, keyAuthorization }) => [`${wellKnown}${token}`, keyAuthorization]),
  );
  const server: Server = nodeHttp().createServer((request, response) => {
    const answer = answers.get(request.url ?? '');
    const type = { 'content-type': 'application/octet-stream', connection: 'close' };
    if (answer === undefined) response.writeHead(404, { connection: 'close' }).end();
    else response.writeHead(200, type).end(answer);
    request.resume();
  });
  server.maxConnections = 100;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  }).catch((thrown: unknown) => {
    const message = `listen on port ${port} for http-01: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_CONFIG', message, { cause: thrown, hint: freePortHint });
  });
  return {
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** RFC 8555 §8.4. */
async function showByDns(
  { command, timeoutMs = 120_000 }: Extract<AcmeProof, { method: 'dns-01' }>,
  challenges: readonly Challenge[],
): Promise<ShownProof> {
  const [program = '', ...first] = command;
  const run = (what: 'present' | 'cleanup', { name, keyAuthorization }: Challenge) =>
    new Promise<void>((resolve, reject) => {
      const text = hash('sha256', keyAuthorization, 'base64url');
      const words = [...first, what, `_acme-challenge.${name}.`, text];
      execFile(program, words, { timeout: timeoutMs }, (failure, _, said) => {
        if (failure === null) return resolve();
        const last = said.trim().split('\n').at(-1);
        const why = last === undefined || last === '' ? failure.message : last;
        const message = `run "${program} ${what}" for "${name}": ${why.slice(0, 300)}`;
        reject(new CountersignError('ERR_ISSUER_CONFIG', message, { cause: failure }));
      });
    });
  const shown: Challenge[] = [];
  const stop = async () => {
    // What cannot be taken away does no harm: its text is good for nothing any more.
    for (const each of shown) await run('cleanup', each).catch(() => {});
  };
  try {
    for (const each of challenges) {
      shown.push(each);
      await run('present', each);
    }
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { stop };
}
