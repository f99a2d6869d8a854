import { BlockList, isIPv6 } from 'node:net';
import { CountersignError } from '@countersign/base';
import { formatIpAddress, parseIpAddress, parseIpNetwork } from '@countersign/x509';

/**
 * Which addresses may be asked on the word of a certificate or of a stranger: public ones, and those that the operator
 * allows. Neither is a reason to call the machine's own ports, its neighbours or the metadata service of a cloud.
 */
export class AddressGuard {
  readonly #allowed = new BlockList();

  /**
   * @param allow networks (`10.0.0.0/8`, `fd00::/8`) or single addresses beside the public ones
   * @throws CountersignError ERR_USAGE for what is neither
   */
  constructor(allow: readonly string[] = []) {
    for (const text of allow) addNetwork(this.#allowed, text);
  }

  /** Why this IP address is not asked, or undefined. */
  refuses(text: string): string | undefined {
    const address = unmapped(text);
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (this.#allowed.check(address, family)) return undefined;
    const isPublic =
      family === 'ipv4'
        ? !reserved.check(address, family)
        : unicast.check(address, family) && !reserved.check(address, family);
    return isPublic ? undefined : `${address} is no public address`;
  }
}

/** Whether the text is an address or a network that {@link AddressGuard} takes. */
export function isNetwork(text: string): boolean {
  return networkOf(text) !== undefined;
}

function addNetwork(list: BlockList, text: string): void {
  const network = networkOf(text);
  if (network === undefined) {
    throw new CountersignError('ERR_USAGE', `"${text}" is no network such as 10.0.0.0/8`);
  }
  list.addSubnet(network.address, network.prefix, network.family);
}

function networkOf(text: string) {
  const parsed = text.includes('/') ? parseIpNetwork(text) : parseIpAddress(text);
  if (parsed === undefined) return undefined;
  const [address = '', prefix] = text.split('/');
  const isV6 = isIPv6(address);
  return {
    address,
    prefix: prefix === undefined ? (isV6 ? 128 : 32) : Number(prefix),
    family: isV6 ? ('ipv6' as const) : ('ipv4' as const),
  };
}

/** An IPv4 address in IPv6 clothing is what it is below. */
function unmapped(text: string): string {
  const bytes = parseIpAddress(text.replace(/%.*$/, ''));
  if (bytes === undefined || bytes.byteLength !== 16) return text;
  const isMapped = bytes.subarray(0, 10).every((octet) => octet === 0);
  if (!isMapped || bytes[10] !== 0xff || bytes[11] !== 0xff) return formatIpAddress(bytes);
  return formatIpAddress(bytes.subarray(12));
}

/** RFC 6890 and IANA's registries of special-purpose addresses: what is not globally reachable, and multicast. */
const reserved = new BlockList();
for (const network of [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15'],
  ...['198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  ...['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'],
]) {
  addNetwork(reserved, network);
}

/** Everything else of IPv6 is loopback, link-local, private, translated or not given out. */
const unicast = new BlockList();
addNetwork(unicast, '2000::/3');
