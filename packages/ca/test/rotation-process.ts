import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { noLog, noMeter, systemClock } from '@countersign/base';
import type { RotationStep } from '@countersign/wire';
import { parseCaConfig } from '../src/ca-config.ts';
import type { Ledger } from '../src/ledger/ledger.ts';
import { openSqliteLedger } from '../src/ledger/sqlite-ledger.ts';
import { openAuthority } from '../src/open-authority.ts';
import { takeRotationStep } from '../src/rotation/take-rotation-step.ts';

/**
 * One step of a rotation as a process of its own, which kills itself before or after the nth write to the ledger:
 * `rotation-process.ts DATA STEP AUTHORITY [before|after N]`. Prints how things stand, or nothing. What was carried here
 * stands in DATA/carried, if anything was.
 */
const [data = '', step = '', name = 'root', when = '', count = '0'] = process.argv.slice(2);
const counted = new Set(['intend', 'issued', 'abandoned', 'changeDocument', 'revoke']);
const file = join(data, 'ca.yaml');
const config = parseCaConfig(await readFile(file, 'utf8'), file);
const shared = { clock: systemClock, log: noLog, meter: noMeter };
const ledger = await openSqliteLedger({ file: join(data, 'ledger.db'), ...shared });
const authority = await openAuthority({ config, data, ledger: killing(ledger), ...shared });
const carried = await readCarried(join(data, 'carried'));
const request = { step: step as RotationStep, authority: name, force: true, carried };
const taken = await takeRotationStep(authority.rotation, request);
await authority.close();
process.stdout.write(JSON.stringify(taken));

async function readCarried(directory: string): Promise<{ file: string; text: string }[]> {
  const files = await readdir(directory).catch(() => []);
  const read = async (file: string) => ({
    file,
    text: await readFile(join(directory, file), 'utf8'),
  });
  return Promise.all(files.map(read));
}

function killing(real: Ledger): Ledger {
  let writes = 0;
  return new Proxy(real, {
    get(target, member) {
      const value = Reflect.get(target, member, target);
      if (typeof value !== 'function') return value;
      const call = value.bind(target);
      if (!counted.has(String(member))) return call;
      return async (...rest: unknown[]) => {
        writes += 1;
        const isIt = writes === Number(count);
        if (isIt && when === 'before') process.kill(process.pid, 'SIGKILL');
        const answer = await call(...rest);
        if (isIt && when === 'after') process.kill(process.pid, 'SIGKILL');
        return answer;
      };
    },
  });
}
