import type { Socket } from 'node:net';
import { type Denial, denial } from '@countersign/base';
import type { Kernel } from './kernel.ts';

/**
 * The process at the other end of a connection: that one, for as long as it lives. What is read under its number in
 * `/proc` counts only if {@link isAlive} afterwards, for a number is given away only once its process has ended.
 */
export class PeerProcess {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly #kernel: Kernel;
  #handle: number | undefined;

  constructor(
    kernel: Kernel,
    credentials: { pid: number; uid: number; gid: number },
    handle: number,
  ) {
    this.pid = credentials.pid;
    this.uid = credentials.uid;
    this.gid = credentials.gid;
    this.#kernel = kernel;
    this.#handle = handle;
  }

  isAlive(): boolean {
    return this.#handle !== undefined && !this.#kernel.hasEnded(this.#handle);
  }

  release(): void {
    if (this.#handle === undefined) return;
    this.#kernel.release(this.#handle);
    this.#handle = undefined;
  }
}

/**
 * Who connected. Denials: ERR_AGENT_PEER where it has ended or lives in a PID namespace that is not ours or below.
 */
export function processOfSocket(
  socket: Socket,
  kernel: Kernel,
): { readonly ok: true; readonly process: PeerProcess } | Denial {
  const fd = descriptorOf(socket);
  if (fd === undefined) return denial('ERR_AGENT_PEER', 'the connection is closed already');
  const credentials = kernel.credentialsOf(fd);
  const { pid, uid, gid } = credentials;
  if (pid === 0) {
    const detail = `the process of uid ${uid}, gid ${gid} is in a PID namespace that is not seen from here`;
    return denial('ERR_AGENT_PEER', detail, { uid, gid });
  }
  const handle = kernel.processOf(fd, pid);
  if (handle === undefined) {
    return denial('ERR_AGENT_PEER', `process ${pid} of uid ${uid} has ended`, { pid, uid });
  }
  return { ok: true, process: new PeerProcess(kernel, credentials, handle) };
}

/** Node keeps it to itself; without it there is no asking who connected. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as { _handle?: { fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
