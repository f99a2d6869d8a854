import { BlockList, isIPv6 } from 'node:net';
import { isNetwork } from '@countersign/wire';

/** Whether an address is in one of these networks; in any where there are none. */
export function isWithin(cidrs: readonly string[], address: string): boolean {
  if (cidrs.length === 0) return true;
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  const family = isIPv6(plain) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  for (const written of cidrs) {
    const [network = '', prefix] = written.split('/');
    const isV6 = isIPv6(network);
    list.addSubnet(network, Number(prefix ?? (isV6 ? 128 : 32)), isV6 ? 'ipv6' : 'ipv4');
  }
  return list.check(plain, family);
}

/** The first of them that is no network; undefined where all are. */
export function wrongNetwork(cidrs: readonly string[]): string | undefined {
  return cidrs.find((each) => !isNetwork(each));
}
