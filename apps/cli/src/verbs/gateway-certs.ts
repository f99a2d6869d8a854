import type { Cli } from '../cli.ts';
import { adminOption, askAdmin } from '../gateway-admin/ask-admin.ts';
import { outputOption } from '../output-option.ts';
import { printable } from '../printable.ts';
import { validityAt } from '../relative-time.ts';
import type { Verb } from '../verb.ts';

interface CertsOptions {
  readonly admin: string;
  readonly output: string;
}

interface ShownCertificate {
  readonly subject: string;
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

/** As the admin page has them. */
interface Shown {
  readonly identities: readonly {
    readonly name: string;
    readonly spiffeId?: string;
    readonly chain?: readonly ShownCertificate[];
    readonly failure?: string;
  }[];
  readonly trusts: readonly {
    readonly name: string;
    readonly authorities?: readonly ShownCertificate[];
    readonly failure?: string;
  }[];
}

/** `countersign gateway certs`: what a running gateway, sidecar or tunnel shows, and whom it believes. */
export const gatewayCertsVerb: Verb = {
  define(command, cli) {
    command
      .addOption(adminOption())
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: CertsOptions) => certs(cli, options));
  },
};

const help = `
Example:
  countersign gateway certs --admin http://127.0.0.1:9090`;

async function certs(cli: Cli, { admin, output }: CertsOptions): Promise<void> {
  const shown = (await askAdmin(admin, '/certs')) as Shown;
  if (output === 'json') return cli.out(`${JSON.stringify(shown, null, 2)}\n`);
  const now = cli.clock.now();
  const line = ({ subject, serial, notBefore, notAfter }: ShownCertificate) => {
    const stands = validityAt(Date.parse(notBefore), Date.parse(notAfter), now);
    return `  ${printable(subject === '' ? '(no subject)' : subject)}, serial ${serial}, ${stands}`;
  };
  const blocks = [
    ...shown.identities.map(({ name, spiffeId, chain, failure }) => [
      `shows ${name}: ${printable(spiffeId ?? failure ?? 'no SPIFFE ID')}`,
      ...(chain ?? []).map(line),
    ]),
    ...shown.trusts.map(({ name, authorities, failure }) => [
      `believes ${name}${failure === undefined ? '' : `: ${printable(failure)}`}`,
      ...(authorities ?? []).map(line),
    ]),
  ];
  await cli.out(`${blocks.flat().join('\n')}\n`);
}
