import { formatDuration, nearestWord } from '@countersign/base';
import { isNetwork } from '@countersign/wire';
import type { Report } from '../ca-config-checks.ts';
import { wrongWithMountPath } from './mount-path.ts';
import type { ConfiguredMount, ConfiguredToken, VaultConfig } from './vault-config.ts';
import type { WrittenVault } from './vault-schema.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

export interface VaultSurroundings {
  /** Intermediates that can be mounted. */
  readonly intermediates: readonly string[];
  readonly report: Report;
  readonly notices: string[];
}

/** The meaning of `vault`, reported finding by finding; undefined where the file has none: then there is no such door. */
export function interpretVault(
  written: WrittenVault | null | undefined,
  around: VaultSurroundings,
): VaultConfig | undefined {
  if (written === null || written === undefined) return undefined;
  const { report } = around;
  const mounts = Object.entries(written.mounts ?? {}).map(([path, each]) =>
    readMount(path, each, around),
  );
  const newMounts = written.new_mounts ?? false;
  if (mounts.length === 0 && !newMounts) {
    const sides = 'names no mount, and new_mounts is false: there is nothing to ask for';
    report(['vault'], `vault: ${sides}`);
  }
  const longestTokenMs = written.max_token_lifetime ?? 32 * day;
  const tokenMs = written.token_lifetime ?? Math.min(longestTokenMs, 32 * day);
  const within = (key: string, ms: number, least: number, most: number) => {
    if (ms >= least && ms <= most) return;
    const bounds = `${formatDuration(least)} to ${formatDuration(most)}`;
    report(['vault', key], `vault.${key}: expected ${bounds}, found ${formatDuration(ms)}`);
  };
  within('max_token_lifetime', longestTokenMs, minute, 3650 * day);
  within('token_lifetime', tokenMs, minute, longestTokenMs);
  const { limits, allow } = written;
  const failedLoginMs = limits?.failed_login_every ?? 3000;
  if (failedLoginMs < 10 || failedLoginMs > hour) {
    const sides = `expected 10ms to 1h, found ${formatDuration(failedLoginMs)}`;
    report(['vault', 'limits', 'failed_login_every'], `vault.limits.failed_login_every: ${sides}`);
  }
  for (const [i, network] of (allow ?? []).entries()) {
    if (isNetwork(network)) continue;
    const form = 'expected a network such as 10.0.0.0/8';
    report(['vault', 'allow', i], `vault.allow: ${form}, found "${network}"`);
  }
  return {
    provisioner: written.provisioner ?? 'vault',
    mounts,
    newMounts,
    tokens: readTokens(written.tokens ?? [], around),
    tokenMs,
    longestTokenMs,
    allow: allow ?? [],
    limits: { failedLogins: limits?.failed_logins ?? 20, failedLoginMs },
  };
}

function readMount(
  path: string,
  written: NonNullable<NonNullable<WrittenVault['mounts']>[string]>,
  { intermediates, report }: VaultSurroundings,
): ConfiguredMount {
  const at = ['vault', 'mounts', path];
  const wrong = wrongWithMountPath(path);
  if (wrong !== undefined) report(at, `vault.mounts: "${path}" ${wrong}`, { which: 'key' });
  const { intermediate, provisioner, description = '' } = written;
  if (!intermediates.includes(intermediate)) {
    const nearest = nearestWord(intermediate, intermediates);
    const then = nearest === undefined ? 'there is none' : `the nearest is "${nearest}"`;
    const sides = `no intermediate "${intermediate}" signs certificates, ${then}`;
    report([...at, 'intermediate'], `${at.join('.')}.intermediate: ${sides}`);
  }
  const signsIntermediates = written.sign_intermediates ?? false;
  return { path, intermediate, provisioner, description, signsIntermediates };
}

function readTokens(
  written: NonNullable<WrittenVault['tokens']>,
  { report, notices }: VaultSurroundings,
): ConfiguredToken[] {
  const names = new Set<string>();
  return written.map(({ name, token_file: file, policies }, i) => {
    if (names.has(name)) report(['vault', 'tokens', i], `vault.tokens: "${name}" is there twice`);
    names.add(name);
    if (policies.includes('root')) {
      notices.push(
        `vault: token "${name}" may do everything (policy root), for as long as "${file}" is there`,
      );
    }
    return { name, file, policies };
  });
}
