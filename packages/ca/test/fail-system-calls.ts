import { endianness } from 'node:os';

/** Numbers of system calls of Linux, by architecture: arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h. */
const numbers: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  x64: { fsync: 74, fdatasync: 75, pwrite64: 18, seccomp: 317 },
  arm64: { fsync: 82, fdatasync: 83, pwrite64: 68, seccomp: 277 },
};

const eio = 5;
const noNewPrivileges = 38;
const setModeFilter = 1;
/** For every thread of the process. */
const threadSync = 1;

/**
 * From now on these system calls fail in this process with EIO: the kernel itself refuses them, by a seccomp filter, as
 * it does when the disk below fails. There is no way back but the end of the process.
 *
 * @returns `failing`, or why that cannot be done here
 */
export async function failSystemCalls(names: readonly string[]): Promise<string> {
  const known = process.platform === 'linux' ? numbers[process.arch] : undefined;
  const calls = names.map((name) => known?.[name] ?? -1);
  if (known === undefined || calls.includes(-1) || endianness() !== 'LE') {
    return `there is no seccomp on ${process.platform}-${process.arch}`;
  }
  const { default: koffi } = await import('koffi');
  const libc = koffi.load('libc.so.6');
  const prctl = libc.func('int prctl(int option, long a, long b, long c, long d)');
  const program = koffi.struct('sock_fprog', { len: 'uint16', filter: 'void *' });
  const syscall = libc.func('syscall', 'long', ['long', 'long', 'long', koffi.pointer(program)]);
  const filter = filterOf(calls);
  if (prctl(noNewPrivileges, 1, 0, 0, 0) !== 0) return 'prctl is refused';
  const given = { len: filter.byteLength / 8, filter };
  const answer = Number(syscall(known.seccomp, setModeFilter, threadSync, given));
  return answer === 0 ? 'failing' : `seccomp is refused: ${answer}`;
}

/** BPF: load the number of the call; one of these is answered with EIO, any other goes on. */
function filterOf(calls: readonly number[]): Buffer {
  const load = [0x20, 0, 0, 0];
  const compare = calls.map((call, i) => [0x15, calls.length - i, 0, call]);
  const allow = [0x06, 0, 0, 0x7fff0000];
  const fail = [0x06, 0, 0, 0x00050000 | eio];
  const rows = [load, ...compare, allow, fail];
  const bytes = Buffer.alloc(rows.length * 8);
  for (const [i, [code = 0, whenTrue = 0, whenFalse = 0, k = 0]] of rows.entries()) {
    bytes.writeUInt16LE(code, i * 8);
    bytes.writeUInt8(whenTrue, i * 8 + 2);
    bytes.writeUInt8(whenFalse, i * 8 + 3);
    bytes.writeUInt32LE(k, i * 8 + 4);
  }
  return bytes;
}
