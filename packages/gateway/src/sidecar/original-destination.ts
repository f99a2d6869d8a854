import { endianness, platform } from 'node:os';
import { CountersignError, messageOf } from '@countersign/base';

export interface Destination {
  readonly address: string;
  readonly port: number;
}

/** Asks the kernel where a redirected connection was going; undefined where it was not redirected. */
export type OriginalDestination = (fd: number, family: 4 | 6) => Destination | undefined;

// Numbers of Linux: linux/in.h, linux/in6.h, linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h.
const solIp = 0;
const solIpv6 = 41;
const soOriginalDst = 80;
const sockaddrIn = 16;
const sockaddrIn6 = 28;

/**
 * Through koffi, without a compiler.
 *
 * @throws CountersignError ERR_SIDECAR_PLATFORM
 */
export async function openOriginalDestination(): Promise<OriginalDestination> {
  if (platform() !== 'linux' || endianness() !== 'LE') {
    throw wrongPlatform(`this is ${platform()}, transparent redirection needs Linux`);
  }
  const koffi = await import('koffi').then(
    (module) => module.default,
    (thrown: unknown) => {
      throw wrongPlatform(`load koffi: ${messageOf(thrown)}`, thrown);
    },
  );
  const getsockopt = koffi
    .load(null)
    .func(
      'int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)',
    );
  return function originalDestination(fd, family) {
    const value = Buffer.alloc(family === 4 ? sockaddrIn : sockaddrIn6);
    const level = family === 4 ? solIp : solIpv6;
    if (getsockopt(fd, level, soOriginalDst, value, [value.byteLength]) !== 0) return undefined;
    // In network order: sockaddr_in has the address after the port, sockaddr_in6 the flow between them.
    const port = value.readUInt16BE(2);
    return {
      address: family === 4 ? dotted(value.subarray(4, 8)) : groups(value.subarray(8, 24)),
      port,
    };
  };
}

function dotted(octets: Buffer): string {
  return [...octets].join('.');
}

/** As Node writes it. */
function groups(octets: Buffer): string {
  const words = Array.from({ length: 8 }, (_, i) => octets.readUInt16BE(2 * i).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

function wrongPlatform(reason: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_SIDECAR_PLATFORM', reason, { cause });
}
