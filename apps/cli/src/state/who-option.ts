import { hostname, userInfo } from 'node:os';
import type { Option } from 'commander';
import { listOption } from '../list-option.ts';

/** `--by NAME` of key ceremonies: who takes part, for the record. */
export function whoOption(): Option {
  return listOption('--by <name>', 'who takes part, for the record; may be repeated');
}

/** Those named, and the account that runs the command. */
export function takingPart(by: readonly string[] = []): string[] {
  return [...by, `${userInfo().username}@${hostname()}`];
}
