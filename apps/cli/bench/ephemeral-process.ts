// An instance as a function or a job begins: prints how long its first request took, and the floor of that.
import { generateKeyPairSync } from 'node:crypto';
import { get } from 'node:https';
import { connect } from 'node:tls';
import { systemClock } from '@countersign/base';
import { httpsAgent, identity } from '@countersign/identity';

const [url = '', token = '', service = '', expected = '', bundle] = process.argv.slice(2);

const began = systemClock.monotonic();
const spent = process.threadCpuUsage();
const me = await identity.ephemeral({
  ...{ url, token },
  ...(bundle === undefined ? {} : { bundle }),
});
const enrolledMs = systemClock.monotonic() - began;
const agent = httpsAgent(me, { allow: [expected] });
const status = await new Promise((resolve, reject) => {
  get(service, { agent }, (response) => {
    response.resume().once('end', () => resolve(response.statusCode));
  }).once('error', reject);
});
const firstRequestMs = systemClock.monotonic() - began;
const { user, system } = process.threadCpuUsage(spent);
const cpuMs = (user + system) / 1000;
if (status !== 200) throw new Error(`answered ${status}`);

// The floor: a key, and the two handshakes that are needed, by the same process, which has its code by now.
const { secureContext } = me.tlsOptions({ allow: [expected] });
const floorBegan = systemClock.monotonic();
generateKeyPairSync('ec', { namedCurve: 'P-256' });
for (const place of [url, service]) await handshake(new URL(place), place === service);
const floorMs = systemClock.monotonic() - floorBegan;
process.stdout.write(JSON.stringify({ enrolledMs, firstRequestMs, cpuMs, floorMs }));
agent.destroy();
await me.stop();

function handshake({ hostname, port }: URL, isMutual: boolean): Promise<void> {
  const options = { host: hostname, port: Number(port), rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const socket = connect({ ...options, ...(isMutual ? { secureContext } : {}) });
    socket.once('secureConnect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
