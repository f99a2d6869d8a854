import { createHash } from 'node:crypto';
import { readlinkSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';

const deleted = ' (deleted)';

/**
 * Path of the program that a process runs; undefined where another file stands there, or none. In a mount namespace of its
 * own everybody puts what they like at `/usr/sbin/nginx`, and that is what the kernel then calls it.
 */
export function executableOf(pid: number): string | undefined {
  const path = readlinkSync(`/proc/${pid}/exe`);
  if (path.endsWith(deleted)) return undefined;
  const [running, found] = [`/proc/${pid}/exe`, path].map((each) =>
    statSync(each, { bigint: true, throwIfNoEntry: false }),
  );
  if (running === undefined || found === undefined) return undefined;
  return running.dev === found.dev && running.ino === found.ino ? path : undefined;
}

const known = new Map<string, string>();
const mostKnown = 256;

/** SHA-256 of the program, lowercase hex: of the very file that runs, whatever stands at its path by now. */
export async function hashOfExecutable(pid: number): Promise<string> {
  const file = await open(`/proc/${pid}/exe`, 'r');
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    // Whoever can write the file without a trace in its times can write the disk.
    const key = [dev, ino, size, mtimeNs, ctimeNs].join(' ');
    const held = known.get(key);
    if (held !== undefined) return held;
    const hash = createHash('sha256');
    for await (const part of file.createReadStream({ autoClose: false })) hash.update(part);
    const digest = hash.digest('hex');
    const [oldest] = known.keys();
    if (known.size >= mostKnown && oldest !== undefined) known.delete(oldest);
    known.set(key, digest);
    return digest;
  } finally {
    await file.close();
  }
}
