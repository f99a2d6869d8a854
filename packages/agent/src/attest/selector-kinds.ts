import { type Denial, denial, nearestWord } from '@countersign/base';
import type { PeerProcess } from '../peer/peer-process.ts';
import { accountName } from './accounts.ts';
import { cgroupsOf, containerIdOf, podUidOf, systemdUnitOf } from './cgroups.ts';
import { executableOf, hashOfExecutable } from './executable.ts';
import { supplementaryGroupsOf } from './process-status.ts';

/** A kind of selector: how its values are found for a process, and what they look like. */
export interface SelectorKind {
  /** Without the value, such as `unix:uid`. */
  readonly name: string;
  readonly form: RegExp;
  readonly example: string;
  /** May throw where `/proc` does not answer: the process is then without such a selector. */
  read(process: PeerProcess): Promise<readonly string[]> | readonly string[];
}

const number = /^\d{1,10}$/;
const word = /^[^\s:]{1,256}$/;

/** Every selector that an entry may name; there are no others. */
export const selectorKinds: readonly SelectorKind[] = [
  { name: 'unix:uid', form: number, example: '1000', read: ({ uid }) => [String(uid)] },
  { name: 'unix:gid', form: number, example: '1000', read: ({ gid }) => [String(gid)] },
  {
    name: 'unix:user',
    form: word,
    example: 'www-data',
    read: async ({ uid }) => named(await accountName('/etc/passwd', uid)),
  },
  {
    name: 'unix:group',
    form: word,
    example: 'www-data',
    read: async ({ gid }) => named(await accountName('/etc/group', gid)),
  },
  {
    name: 'unix:supplementary_gid',
    form: number,
    example: '27',
    read: ({ pid }) => supplementaryGroupsOf(pid),
  },
  {
    name: 'unix:path',
    form: /^\/[^\0]{1,4095}$/,
    example: '/usr/bin/nginx',
    read: ({ pid }) => named(executableOf(pid)),
  },
  {
    name: 'unix:sha256',
    form: /^[0-9a-f]{64}$/,
    example: 'e3b0c442…',
    read: async ({ pid }) => [await hashOfExecutable(pid)],
  },
  {
    name: 'systemd:id',
    form: /^[^\s:/]{1,255}\.(?:service|scope|socket)$/,
    example: 'nginx.service',
    read: ({ pid }) => named(systemdUnitOf(cgroupsOf(pid))),
  },
  {
    name: 'container:id',
    form: /^[0-9a-f]{64}$/,
    example: '4bd9…',
    read: ({ pid }) => named(containerIdOf(cgroupsOf(pid))),
  },
  {
    name: 'k8s:pod-uid',
    form: /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$|^[0-9a-f]{32}$/,
    example: '2c48913c-b29f-11e7-9350-020968147796',
    read: ({ pid }) => named(podUidOf(cgroupsOf(pid))),
  },
];

/** The kind of a selector that is well written; denials: ERR_AGENT_SELECTOR. */
export function kindOfSelector(
  selector: string,
): { readonly ok: true; readonly kind: SelectorKind } | Denial {
  const [, name = '', value = ''] = /^([^:]+:[^:]+):(.+)$/.exec(selector) ?? [];
  const kind = selectorKinds.find((each) => each.name === name);
  if (kind === undefined) {
    const names = selectorKinds.map((each) => each.name);
    const nearest = nearestWord(name, names) ?? `one of ${names.join(', ')}`;
    const detail = `selector "${selector}" is of no kind that is known, nearest is "${nearest}"`;
    return denial('ERR_AGENT_SELECTOR', detail, { selector });
  }
  if (kind.form.test(value)) return { ok: true, kind };
  const sides = `has the value "${value}", expected one such as "${kind.example}"`;
  return denial('ERR_AGENT_SELECTOR', `selector "${selector}" ${sides}`, { selector });
}

function named(value: string | undefined): readonly string[] {
  return value === undefined ? [] : [value];
}
