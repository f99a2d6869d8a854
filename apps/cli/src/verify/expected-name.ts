import { CountersignError } from '@countersign/base';
import type { ExpectedName } from '@countersign/x509';

/**
 * The expected name of `--name`: `dns:…`, `ip:…`, `email:…`, or a SPIFFE ID, with or without `spiffe:` in front.
 *
 * @throws CountersignError ERR_CLI_NAME
 */
export function parseExpectedName(text: string): ExpectedName {
  const [, kind = '', value = ''] = /^([a-z]+):(.+)$/.exec(text) ?? [];
  if (kind === 'dns') return { dns: value };
  if (kind === 'ip') return { ip: value.replace(/^\[(.*)\]$/, '$1') };
  if (kind === 'email') return { email: value };
  if (kind === 'spiffe') return { spiffe: value.startsWith('//') ? text : value };
  throw new CountersignError(
    'ERR_CLI_NAME',
    `read name "${text}": it begins with none of "dns:", "ip:", "email:", "spiffe:"`,
  );
}
