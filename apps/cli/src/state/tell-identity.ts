import type { Certificate } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { roughDuration } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';

/** What a command that wrote an identity says of it; nothing of the key but where it is. */
export async function tellIdentity(
  cli: Cli,
  certificate: {
    readonly serialHex: string;
    readonly notAfter: number;
    readonly spiffeId?: unknown;
    readonly chain?: readonly Pick<Certificate, 'extKeyUsage'>[];
  },
  directory: string,
  output: string,
): Promise<void> {
  const { serialHex, notAfter } = certificate;
  const spiffeId = certificate.spiffeId === undefined ? undefined : String(certificate.spiffeId);
  if (spiffeId !== undefined && !isForClients(certificate.chain?.[0])) cli.err(cannotRenew);
  if (output === 'json') {
    const facts = {
      spiffeId,
      serial: serialHex,
      notAfter: formatRfc3339(notAfter),
      out: directory,
    };
    await cli.out(`${JSON.stringify(facts, null, 2)}\n`);
    return;
  }
  const left = roughDuration(notAfter - cli.clock.now());
  await cli.out(
    `${spiffeId ?? 'certificate'} until ${formatRfc3339(notAfter)} (${left}), serial ${serialHex}, in ${directory}\n`,
  );
}

const cannotRenew =
  'note: its profile leaves out clientAuth, so that it cannot renew over mTLS: enrol or order it anew in time\n';

/** RFC 5280 §4.2.1.12: without the extension every purpose is allowed. */
function isForClients(leaf: Pick<Certificate, 'extKeyUsage'> | undefined): boolean {
  const usages = leaf?.extKeyUsage;
  if (usages === undefined) return true;
  return usages.includes('clientAuth') || usages.includes('anyExtendedKeyUsage');
}
