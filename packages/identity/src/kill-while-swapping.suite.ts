import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '@countersign/base';
import { type Identity, readIdentity, writeIdentity } from './index.ts';

/** As nginx or openssl would read them: by their documented paths, knowing nothing of versions. */
export async function readPlainly(directory: string): Promise<string> {
  const key = createPrivateKey(await readFile(join(directory, 'key.pem')));
  const cert = new X509Certificate(await readFile(join(directory, 'cert.pem')));
  const chain = await readFile(join(directory, 'chain.pem'), 'utf8');
  const bundle = new X509Certificate(await readFile(join(directory, 'bundle.pem')));
  assert.ok(cert.checkPrivateKey(key), 'key and certificate do not belong together');
  assert.ok(chain.startsWith(cert.toString().trim().slice(0, 200)));
  assert.equal(chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.ok(bundle.verify(bundle.publicKey));
  return cert.serialNumber.toLowerCase();
}

/** Kills a process that does nothing but swap two identities, and looks at what it left, so many times. */
export async function killWhileSwapping(
  directory: string,
  [first, second]: readonly [Identity, Identity],
  kills: number,
): Promise<void> {
  await writeIdentity(directory, first);
  const sources = [`${directory}-first`, `${directory}-second`];
  for (const [i, identity] of [first, second].entries()) {
    await writeIdentity(sources[i] ?? '', identity);
  }
  // A process that does nothing but swap the two, until it is killed.
  const program = `
    const { readIdentity, writeIdentity } = await import(process.argv[1]);
    const [, , directory, ...sources] = process.argv;
    const both = await Promise.all(sources.map(readIdentity));
    for (let i = 0; ; i += 1) {
      await writeIdentity(directory, both[i % 2]);
      process.stdout.write('.');
    }`;
  for (let i = 0; i < kills; i += 1) {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        program,
        new URL('./index.ts', import.meta.url).href,
        directory,
        ...sources,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    // At least one whole swap, so that it is another one that is cut short.
    await once(child.stdout, 'data');
    await systemClock.sleep(3 + Math.floor((i * 37) % 23));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const serial = await readPlainly(directory);
    assert.ok([first.svid.serialHex, second.svid.serialHex].includes(serial));
    assert.equal((await readIdentity(directory)).svid.serialHex, serial);
  }
  await writeIdentity(directory, first);
  assert.equal(await readPlainly(directory), first.svid.serialHex);
}
