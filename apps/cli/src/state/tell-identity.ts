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
  },
  directory: string,
  output: string,
): Promise<void> {
  const { serialHex, notAfter } = certificate;
  const spiffeId = certificate.spiffeId === undefined ? undefined : String(certificate.spiffeId);
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
