import { readFileSync } from 'node:fs';

/** Paths of the control groups that a process is in: one on cgroup v2, one a hierarchy on v1. */
export function cgroupsOf(pid: number): readonly string[] {
  return parseCgroups(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
}

// cgroups(7): hierarchy-ID:controller-list:cgroup-path
export function parseCgroups(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.split(':').slice(2).join(':'))
    .filter((path) => path !== '' && path !== '/');
}

/** The innermost systemd unit, with its escapes undone by nobody: as `systemctl` writes it. */
export function systemdUnitOf(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const unit = path.split('/').findLast((part) => /\.(?:service|scope|socket)$/.test(part));
    if (unit !== undefined) return unit;
  }
  return undefined;
}

/** The 64 hexadecimal digits that Docker, containerd and CRI-O name a container's group by. */
export function containerIdOf(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const [, id] = /(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:$|\/)/.exec(path) ?? [];
    if (id !== undefined) return id;
  }
  return undefined;
}

/** The UID of the pod, in the spelling of the Kubernetes API; systemd's driver writes it with underscores. */
export function podUidOf(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const [, uid] =
      /(?:^|[/-])pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:$|\/)/.exec(
        path,
      ) ?? [];
    if (uid !== undefined) return uid.replaceAll('_', '-');
  }
  return undefined;
}
