import { type Certificate, parseCertificate, verifySignature } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import {
  type InspectedInput,
  inspectCertificates,
  inspectInput,
} from '../inspect/inspect-input.ts';
import { formatInspection } from '../inspect/inspection.ts';
import { outputOption } from '../output-option.ts';
import { presentedChain, tlsAddressOf } from '../presented-chain.ts';
import { readAs, within } from '../read-certificates.ts';
import { inputName, readInput } from '../read-input.ts';
import type { Verb } from '../verb.ts';

/** `countersign inspect`: says what an input holds, and judges nothing (`verify` does). */
export const inspectVerb: Verb = {
  define(command, cli) {
    command
      .argument('<input>', 'PEM or DER file, SPIFFE bundle document, "-", or an https:// address')
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nExample:\n  countersign inspect payments/chain.pem\n  countersign inspect -o json https://127.0.0.1:8443',
      )
      .action(async (source: string, options: { output: string }) => {
        const inspected = await readAndInspect(cli, source);
        const links = linksBetween(inspected.certificates);
        if (options.output === 'json') {
          const items = inspected.items.map(({ kind, facts }) => ({ kind, ...facts }));
          await cli.out(`${JSON.stringify({ source, items, links }, null, 2)}\n`);
        } else {
          await cli.out(textOf(cli, source, inspected, links));
        }
      });
  },
};

async function readAndInspect(cli: Cli, source: string): Promise<InspectedInput> {
  const attempted = `inspect ${inputName(source)}`;
  const now = cli.clock.now();
  const address = tlsAddressOf(source);
  if (address === undefined) {
    const bytes = await readInput(cli, source, attempted);
    return readAs(attempted, () => inspectInput(bytes, now));
  }
  const chain = await presentedChain(address, attempted);
  return within(attempted, () =>
    inspectCertificates(
      chain.map((der) => parseCertificate(der)),
      now,
    ),
  );
}

/** A certificate and the one in the same input whose key signed it; both count from 1. */
interface Link {
  readonly certificate: number;
  readonly signedBy: number;
}

function linksBetween(certificates: readonly Certificate[]): Link[] {
  return certificates.flatMap((certificate, i) => {
    const found = certificates.findIndex((issuer) => isSignedBy(certificate, issuer));
    return found < 0 ? [] : [{ certificate: i + 1, signedBy: found + 1 }];
  });
}

function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (!Buffer.from(certificate.issuer.raw).equals(issuer.subject.raw)) return false;
  const { tbs, signature, signatureAlgorithm } = certificate;
  try {
    return verifySignature(issuer.spki, signatureAlgorithm, tbs, signature);
  } catch {
    // An algorithm that we do not know signs nothing here; the certificate's own lines name it.
    return false;
  }
}

function textOf(
  cli: Cli,
  source: string,
  inspected: InspectedInput,
  links: readonly Link[],
): string {
  const { bold, dim } = cli.outStyle;
  const { items, certificates } = inspected;
  let ofCertificates = 0;
  const parts = items.map((item) => {
    if (item.kind !== 'certificate')
      return formatInspection(item, `${item.kind} in ${source}`, bold);
    ofCertificates += 1;
    const count = certificates.length > 1 ? ` ${ofCertificates} of ${certificates.length}` : '';
    return formatInspection(item, `certificate${count} in ${source}`, bold);
  });
  const chain = links.map(({ certificate, signedBy }) =>
    certificate === signedBy
      ? `certificate ${certificate} is signed by itself`
      : `certificate ${certificate} is signed by certificate ${signedBy}`,
  );
  if (chain.length > 0) parts.push(`${chain.join('\n')}\n`);
  if (certificates.length > 0)
    parts.push(dim('nothing is judged here; `countersign verify` does\n'));
  return parts.join('\n');
}
