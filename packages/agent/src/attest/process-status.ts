import { readFileSync } from 'node:fs';

/** Supplementary groups of a process, as numbers in decimal. */
export function supplementaryGroupsOf(pid: number): readonly string[] {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const [, groups = ''] = /^Groups:\t(.*)$/m.exec(status) ?? [];
  return groups.split(' ').filter((each) => each !== '');
}
