import { readdirSync, readFileSync } from 'node:fs';

/** CPU time of a process so far, in microseconds, by the name of the thread; `all` is their sum. Linux alone. */
export type ThreadCpu = ReadonlyMap<string, number>;

export function threadCpu(pid: number): ThreadCpu {
  const cpu = new Map<string, number>([['all', 0]]);
  const add = (name: string, micros: number) => cpu.set(name, (cpu.get(name) ?? 0) + micros);
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const at = `/proc/${pid}/task/${task}`;
    const name = task === String(pid) ? 'main' : readFileSync(`${at}/comm`, 'utf8').trim();
    // The first field: nanoseconds on a CPU.
    const micros = Number(readFileSync(`${at}/schedstat`, 'utf8').split(' ')[0]) / 1000;
    add(name, micros);
    add('all', micros);
  }
  return cpu;
}

export function spentSince(before: ThreadCpu, pid: number): ThreadCpu {
  return new Map(
    [...threadCpu(pid)].map(([name, micros]) => [name, micros - (before.get(name) ?? 0)]),
  );
}
