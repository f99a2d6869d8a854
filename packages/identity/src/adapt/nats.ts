import { CountersignError } from '@countersign/base';
import type { LiveSource } from '../live/live-source.ts';
import { liveTlsOptions, type TlsOptionsRules } from '../live/tls-options.ts';

/**
 * The `tls` option of `connect` of `@nats-io/transport-node`, version 3: `connect({ servers, tls })`.
 * A connection stays through rotations; each reconnection presents the certificate of that moment.
 *
 * @param rules.allow the servers' SPIFFE IDs. They must be named: NATS dials addresses that the servers themselves tell
 * @throws CountersignError ERR_USAGE without `allow`, ERR_IDENTITY_PATTERN
 */
export function natsTls(
  source: LiveSource,
  rules: TlsOptionsRules & { readonly handshakeFirst?: boolean },
): { readonly handshakeFirst?: boolean } {
  const { handshakeFirst } = rules;
  if (rules?.allow === undefined) {
    throw new CountersignError('ERR_USAGE', "nats: the servers' SPIFFE IDs are not named", {
      hint: 'give { allow: ["spiffe://…"] }',
    });
  }
  return {
    ...liveTlsOptions(source, rules),
    ...(handshakeFirst === undefined ? {} : { handshakeFirst }),
  };
}
