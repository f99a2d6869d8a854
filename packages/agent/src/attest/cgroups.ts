import { readFileSync } from 'node:fs';

/** Paths of the control groups that a process is in: one on cgroup v2, one a hierarchy on v1. */
export interface Cgroups {
  /** But for those below a user's systemd, where everybody makes and names groups as they like. */
  readonly paths: readonly string[];
  /** In the hierarchy that systemd keeps its units by. */
  readonly systemdPath: string | undefined;
}

export function cgroupsOf(pid: number): Cgroups {
  return parseCgroups(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
}

// cgroups(7): hierarchy-ID:controller-list:cgroup-path
export function parseCgroups(text: string): Cgroups {
  const lines = text.split('\n').map((line) => {
    const [hierarchy, controllers, ...path] = line.split(':');
    return { hierarchy, controllers, path: path.join(':') };
  });
  const systemd =
    lines.find(({ controllers }) => controllers === 'name=systemd') ??
    lines.find(({ hierarchy, controllers }) => hierarchy === '0' && controllers === '');
  const paths = lines
    .map(({ path }) => path)
    .filter((path) => path !== '' && path !== '/' && !ofUser.test(path));
  return { paths, systemdPath: systemd?.path };
}

const ofUser = /\/user@\d+\.service(?:\/|$)/;

/**
 * The unit of the machine's own systemd, with its escapes undone by nobody: as `systemctl status PID` writes it. What
 * stands below it is named by whoever the group was delegated to, such as a user's systemd or that of a container.
 */
export function systemdUnitOf({ systemdPath = '' }: Cgroups): string | undefined {
  const unit = systemdPath.split('/').find((part) => part !== '' && !part.endsWith('.slice'));
  return unit !== undefined && /\.(?:service|scope|socket)$/.test(unit) ? unit : undefined;
}

/** The 64 hexadecimal digits that Docker, containerd and CRI-O name a container's group by. */
export function containerIdOf({ paths }: Cgroups): string | undefined {
  for (const path of paths) {
    const [, id] = /(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:$|\/)/.exec(path) ?? [];
    if (id !== undefined) return id;
  }
  return undefined;
}

/** The UID of the pod, in the spelling of the Kubernetes API; systemd's driver writes it with underscores. */
export function podUidOf({ paths }: Cgroups): string | undefined {
  for (const path of paths) {
    const [, uid] =
      /(?:^|[/-])pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:$|\/)/.exec(
        path,
      ) ?? [];
    if (uid !== undefined) return uid.replaceAll('_', '-');
  }
  return undefined;
}
