import type { StatusFinding } from '@countersign/wire';
import type { Certificate } from '@countersign/x509';
import { heldLists } from '../publish/imported-list.ts';
import { publishedPath, slugOf } from '../publish/published-paths.ts';
import { configNameOf } from '../rotation/rotation-document.ts';
import type { RevokedQuestion } from './revoked-authorities.ts';

/**
 * Lists that certificates of the authority's own name, and that nobody has brought: the key which signs them is elsewhere.
 * Relying parties that ask for one find nothing.
 */
export async function missingLists(question: RevokedQuestion): Promise<StatusFinding[]> {
  const { live, issuers, ledger } = question;
  const held = new Set((await heldLists(issuers, ledger)).map(({ issuer }) => issuer));
  const findings: StatusFinding[] = [];
  for (const { name, certificate, signer } of issuers) {
    if (signer !== undefined || held.has(name)) continue;
    const path = publishedPath.crl(slugOf(name, certificate));
    const namedBy = live.find((each) => addressesOf(each.certificate).some(endsIn(path)));
    if (namedBy === undefined) continue;
    const found = `list "${path}" of "${name}" was never imported, the certificate of "${namedBy.name}" names it`;
    findings.push({ about: 'lists', detail: `${found}; ${wayOf(name)}` });
  }
  return findings;
}

function wayOf(name: string): string {
  const file = `${configNameOf(name)}.crl`;
  return `countersign sign --root DIR --crl --out ${file} where the key is, then countersign crl --data DIR --import ${file}`;
}

function addressesOf({ crlDistributionPoints = [] }: Certificate): readonly string[] {
  return crlDistributionPoints
    .flatMap(({ fullName = [] }) => fullName)
    .flatMap((name) => (name.kind === 'uri' ? [name.value] : []));
}

function endsIn(path: string): (address: string) => boolean {
  return (address) => address.endsWith(path);
}
