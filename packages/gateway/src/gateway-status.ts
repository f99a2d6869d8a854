import { CountersignError } from '@countersign/base';
import type { Credentials } from './files/credentials.ts';
import type { GatewayOptions } from './start-gateway.ts';

type Own = Pick<GatewayOptions, 'svids' | 'clock'>;

/** Why nobody can be served as it is, as a fragment; undefined where somebody can. */
export function unwell({ svids, clock }: Own, credentials: Credentials): string | undefined {
  const now = clock.now();
  if (svids === undefined) return credentials.unwell(now);
  try {
    const { notAfter } = svids.svid();
    if (now <= notAfter) return credentials.unwell(now);
    return `own certificate expired at ${new Date(notAfter).toISOString()}`;
  } catch (thrown) {
    return thrown instanceof CountersignError ? thrown.message : 'no identity';
  }
}

export function identityStatus({ svids }: Pick<Own, 'svids'>): object {
  if (svids === undefined) return { from: 'files' };
  try {
    const { spiffeId, serialHex, notAfter } = svids.svid();
    return {
      spiffeId: spiffeId.toString(),
      serial: serialHex,
      notAfter: new Date(notAfter).toISOString(),
    };
  } catch (thrown) {
    return { failure: thrown instanceof CountersignError ? thrown.message : 'no identity' };
  }
}
