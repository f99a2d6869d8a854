import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  readonly path: string;
  /** Takes all that is left. */
  fill(): void;
  free(): void;
  close(): void;
}

/** A file system of its own of so many bytes (a tmpfs, which only root may mount), or why there is none. */
export function smallDisk(bytes: number): SmallDisk | { readonly skip: string } {
  const path = mkdtempSync(join(tmpdir(), 'countersign-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], {
    encoding: 'utf8',
  });
  if (mounted.status !== 0) {
    rmSync(path, { recursive: true });
    return { skip: `a small disk cannot be mounted: ${mounted.stderr || mounted.error}`.trim() };
  }
  const filler = join(path, 'filler');
  return {
    path,
    fill() {
      const handle = openSync(filler, 'a');
      try {
        for (;;) writeSync(handle, new Uint8Array(4096));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown;
      } finally {
        closeSync(handle);
      }
      const { bavail } = statfsSync(path);
      if (bavail > 0) throw new Error(`${bavail} blocks are left`);
    },
    free: () => rmSync(filler, { force: true }),
    close() {
      spawnSync('umount', ['-l', path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
