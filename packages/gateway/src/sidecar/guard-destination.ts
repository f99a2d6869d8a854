import { BlockList, isIP } from 'node:net';
import { type Denial, denial } from '@countersign/base';

/**
 * What a sidecar never connects to for whoever asks it: this machine, where its own and other programs' private ports
 * are, and link-local addresses, where clouds have their metadata (RFC 1122 §3.2.1.3, RFC 3927, RFC 4291 §2.5.3).
 */
const guarded = new BlockList();
guarded.addSubnet('0.0.0.0', 8, 'ipv4');
guarded.addSubnet('127.0.0.0', 8, 'ipv4');
guarded.addSubnet('169.254.0.0', 16, 'ipv4');
guarded.addAddress('::', 'ipv6');
guarded.addAddress('::1', 'ipv6');
guarded.addSubnet('fe80::', 10, 'ipv6');
// The same in IPv6's clothes: mapped, compatible, and translated (RFC 4291 §2.5.5, RFC 6052).
guarded.addSubnet('::', 96, 'ipv6');
guarded.addSubnet('64:ff9b::', 96, 'ipv6');

/** @param address of an answer of DNS, or as written; what is no address is refused */
export function wrongWithAddress(address: string, own: ReadonlySet<string>): Denial | undefined {
  const plain = address.toLowerCase().startsWith('::ffff:') ? address.slice(7) : address;
  const version = isIP(plain);
  const isGuarded = version === 0 || guarded.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  if (!isGuarded && !own.has(plain)) return undefined;
  const detail = `"${address}" is this machine or link-local, nothing is passed on there`;
  return denial('ERR_SIDECAR_GUARDED', detail, { address });
}
