import { randomFillSync } from 'node:crypto';

const pool = new Uint8Array(6 * 1024);
let poolUsed = pool.byteLength;

/** From a pool: asking for a dozen octets costs as much as asking for thousands. None is given twice. */
export function randomOctets(octets: number): Uint8Array {
  if (poolUsed + octets > pool.byteLength) {
    randomFillSync(pool);
    poolUsed = 0;
  }
  poolUsed += octets;
  return pool.slice(poolUsed - octets, poolUsed);
}
