import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestCredential, testCa } from '@countersign/testkit';
import { encodePem } from '@countersign/x509';

/** `twin` has the names of `alice`, and another key. */
export type Caller = 'alice' | 'twin';

/** Certificates, the list that revokes, and the upstream: the same for every proxy that is measured. */
export interface PeerWorld {
  readonly directory: string;
  /** A file of the directory by its name. */
  readonly file: (name: string) => string;
  readonly write: (name: string, text: string) => string;
  readonly upstreamPort: number;
  readonly callers: Readonly<Record<Caller, CallerTls>>;
  /** Puts a list in the place of the last that revokes these. */
  revoke(callers: readonly Caller[]): Promise<string>;
  end(): Promise<void>;
}

export interface CallerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export const serverName = 'server.example.test';
export const idOf = (name: string) => `spiffe://example.test/${name}`;

/** One root that signs everything, since some proxies want a list of every CA of the chain. */
export async function openPeerWorld(): Promise<PeerWorld> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-peers-'));
  const file = (name: string) => join(directory, name);
  const write = (name: string, text: string) => {
    // Whole or not at all: some proxies read a file at once when it changes.
    writeFileSync(file(`${name}.new`), text, { mode: 0o600 });
    renameSync(file(`${name}.new`), file(name));
    return file(name);
  };
  const root = testCa();
  const credential = (name: string, dns: readonly string[] = []) =>
    root.leaf({ subject: [{ type: 'CN', value: name }], uri: [idOf(name)], dns });
  const server = credential('server', [serverName]);
  const [alice, twin] = [credential('alice'), credential('alice')];
  write('root.pem', root.rootPem);
  write('chain.pem', server.chainPem);
  write('key.pem', server.keyPem);
  write('pair.pem', server.chainPem + server.keyPem);
  const tlsOf = ({ chainPem, keyPem }: TestCredential): CallerTls => ({
    ...{ cert: chainPem, key: keyPem, ca: root.rootPem },
  });
  const certificates = { alice: alice.certificate, twin: twin.certificate };
  let number = 0n;
  const revoke = async (callers: readonly Caller[]): Promise<string> => {
    number += 1n;
    const list = await root.crl(
      callers.map((caller) => certificates[caller]),
      { number },
    );
    const pem = encodePem('X509 CRL', list.raw);
    write('crl.pem', pem);
    return pem;
  };
  await revoke([]);
  const upstream = fork(new URL('./upstream-process.ts', import.meta.url), [directory]);
  const [port] = (await once(upstream, 'message')) as [number];
  return {
    ...{ directory, file, write, revoke, upstreamPort: port },
    callers: { alice: tlsOf(alice), twin: tlsOf(twin) },
    async end() {
      await endProcess(upstream);
      rmSync(directory, { recursive: true });
    },
  };
}

export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 5000);
  await gone;
  clearTimeout(late);
}
