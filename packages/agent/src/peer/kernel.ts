import { closeSync } from 'node:fs';
import { endianness, platform } from 'node:os';
import { CountersignError, messageOf } from '@countersign/base';

/** What the agent asks of the kernel, and Node does not offer. */
export interface Kernel {
  /** Who connected the other end of a Unix socket, as it was then. */
  credentialsOf(fd: number): PeerCredentials;
  /**
   * A handle of the process that connected, which stands for it and no other even when its number is given to another.
   * @returns the descriptor, or undefined where the process is gone
   */
  processOf(fd: number, pid: number): number | undefined;
  /** Whether the process of such a handle has ended. */
  hasEnded(handle: number): boolean;
  release(handle: number): void;
  /** False on kernels before 6.5, where the handle is that of whoever has the number when the connection is accepted. */
  readonly knowsPeerHandle: boolean;
}

export interface PeerCredentials {
  /** 0 where the process is in no PID namespace that can be seen from here. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

// Numbers of Linux on x86-64 and ARM64: asm-generic/socket.h, asm-generic/unistd.h, asm-generic/poll.h, asm-generic/errno.h.
const solSocket = 1;
const soPeerCred = 17;
const soPeerPidfd = 77;
const sysPidfdOpen = 434;
const pollIn = 1;
const enoProtoOpt = 92;
const eIntr = 4;
const interruptedAtMost = 100;

/**
 * The kernel through koffi, without a compiler.
 *
 * @throws CountersignError ERR_AGENT_PLATFORM
 */
export async function openKernel(): Promise<Kernel> {
  if (platform() !== 'linux' || endianness() !== 'LE') {
    throw wrongPlatform(`this is ${platform()}, the agent needs Linux on x86-64 or ARM64`);
  }
  const koffi = await import('koffi').then(
    (module) => module.default,
    (thrown: unknown) => {
      throw wrongPlatform(`load koffi: ${messageOf(thrown)}`, thrown);
    },
  );
  const libc = koffi.load(null);
  const getsockopt = libc.func(
    'int getsockopt(int fd, int level, int name, void *value, void *length)',
  );
  const poll = libc.func('int poll(void *fds, ulong count, int timeoutMs)');
  const syscall = libc.func('long syscall(long number, int pid, uint32_t flags)');

  // Each call is over before the next begins: memory that is given to the kernel is taken once.
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  const asked = Buffer.alloc(8);

  /** Whether the kernel has put so many bytes into `value`. */
  function hasOption(fd: number, name: number, bytes: number): boolean {
    length.writeUInt32LE(bytes, 0);
    return getsockopt(fd, solSocket, name, value, length) === 0 && length.readUInt32LE(0) === bytes;
  }

  let knowsPeerHandle = true;
  return {
    get knowsPeerHandle() {
      return knowsPeerHandle;
    },
    credentialsOf(fd) {
      if (!hasOption(fd, soPeerCred, 12)) {
        throw new CountersignError('ERR_AGENT_PEER', 'the kernel does not say who connected');
      }
      return {
        pid: value.readUInt32LE(0),
        uid: value.readUInt32LE(4),
        gid: value.readUInt32LE(8),
      };
    },
    processOf(fd, pid) {
      if (hasOption(fd, soPeerPidfd, 4)) {
        const handle = value.readInt32LE(0);
        return handle < 0 ? undefined : handle;
      }
      // Any other reason means that the process is gone, and its number perhaps another's.
      if (koffi.errno() !== enoProtoOpt) return undefined;
      knowsPeerHandle = false;
      const opened = Number(syscall(sysPidfdOpen, pid, 0));
      return opened < 0 ? undefined : opened;
    },
    hasEnded(handle) {
      asked.writeInt32LE(handle, 0);
      asked.writeInt32LE(pollIn, 4);
      // A process that has ended makes its handle readable; what cannot be asked is not alive. A signal that comes at that
      // moment, such as a profiler's, says nothing of it.
      for (let tries = 0; tries < interruptedAtMost; tries += 1) {
        const found = poll(asked, 1, 0);
        if (found >= 0 || koffi.errno() !== eIntr) return found !== 0;
      }
      return true;
    },
    release: (handle) => closeSync(handle),
  };
}

function wrongPlatform(reason: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_AGENT_PLATFORM', reason, { cause });
}
