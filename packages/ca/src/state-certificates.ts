import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import { type Certificate, certificatesFromPem } from '@countersign/x509';
import { activeOf, newestCertificate, rootName } from './rotation/hierarchy-view.ts';
import type { RotationDocument } from './rotation/rotation-document.ts';
import { readCopy } from './rotation/rotation-keeper.ts';
import { accessRefused, isRefusedAccess } from './state-access.ts';
import type { StateCertificates } from './state-config.ts';
import { readStateManifest, stateLayout } from './state-layout.ts';

/**
 * The certificates of a data directory, which anybody may read: no key is opened, and no server is in the way.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_BROKEN, ERR_CEREMONY_PENDING
 */
export async function readStateCertificates(data: string): Promise<StateCertificates> {
  const layout = stateLayout(data);
  const manifest = await readStateManifest(data);
  const kept = await readCopy(layout.hierarchy);
  if (kept !== undefined) return certificatesInForce(kept.document);
  const intermediates = new Map<string, Certificate>();
  for (const name of manifest.intermediates) {
    intermediates.set(name, await readCertificate(layout.intermediateCertificate(name)));
  }
  return { root: await readCertificate(layout.rootCertificate), intermediates };
}

/** Where keys were replaced: the generations that sign now. */
function certificatesInForce(document: RotationDocument): StateCertificates {
  const names = new Set(document.generations.map(({ name }) => name));
  names.delete(rootName);
  return {
    root: newestCertificate(activeOf(document, rootName)),
    intermediates: new Map(
      [...names].map((name) => [name, newestCertificate(activeOf(document, name))]),
    ),
  };
}

async function readCertificate(file: string): Promise<Certificate> {
  try {
    const [certificate] = certificatesFromPem(await readFile(file));
    if (certificate !== undefined) return certificate;
    throw new TypeError('it holds no certificate');
  } catch (thrown) {
    if (isRefusedAccess(thrown)) {
      throw await accessRefused(file, 'read a certificate of the authority', thrown);
    }
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
