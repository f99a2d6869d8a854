import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A token of SoftHSM2 in a directory of its own, which goes away with `remove`. */
export interface SoftToken {
  readonly module: string;
  readonly label: string;
  readonly pin: string;
  readonly directory: string;
  /** Where its tokens are: moved away, the token is gone. */
  readonly tokens: string;
  /** Of the environment that its users need. */
  readonly env: { readonly SOFTHSM2_CONF: string };
  addToken(label: string): void;
  remove(): void;
}

const modules = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];

/** The module of SoftHSM2, or why there is none. */
export function softModule(): { readonly path: string } | { readonly missing: string } {
  const path = modules.find((candidate) => existsSync(candidate));
  if (path === undefined)
    return { missing: 'no libsofthsm2.so (Debian: apt-get install softhsm2)' };
  const found = spawnSync('softhsm2-util', ['--version']).status === 0;
  return found ? { path } : { missing: 'no softhsm2-util (Debian: apt-get install softhsm2)' };
}

/** Sets SOFTHSM2_CONF of this process too: the module reads it when it is initialised. */
export function makeSoftToken(module: string, label: string): SoftToken {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-softhsm-'));
  const tokens = join(directory, 'tokens');
  mkdirSync(tokens);
  const conf = join(directory, 'softhsm2.conf');
  writeFileSync(
    conf,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  const env = { SOFTHSM2_CONF: conf };
  const pin = `pin-${label}-4711`;
  const addToken = (name: string) => {
    const words = ['--init-token', '--free', '--label', name, '--so-pin', 'so-4711', '--pin', pin];
    execFileSync('softhsm2-util', words, { env: { ...process.env, ...env }, stdio: 'pipe' });
  };
  addToken(label);
  process.env.SOFTHSM2_CONF = conf;
  const remove = () => rmSync(directory, { recursive: true, force: true });
  return { module, label, pin, directory, tokens, env, addToken, remove };
}
