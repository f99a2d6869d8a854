import { hash } from 'node:crypto';
import {
  type Clock,
  type Denial,
  denial,
  equalBytes,
  fromBase64,
  toBase64,
} from '@countersign/base';
import { type Certificate, type Crl, parseCrl, verifySignature } from '@countersign/x509';
import type { Ledger } from '../ledger/ledger.ts';
import { publishedPath, slugOf } from './published-paths.ts';
import type { PublishingIssuer } from './publishing-issuer.ts';
import type { SignedList } from './revocation-list.ts';

export interface ImportedList {
  readonly ok: true;
  readonly issuer: string;
  /** Below `publish.url`. */
  readonly path: string;
  readonly number: bigint;
  readonly nextUpdate: number;
  /** Serials on it that the ledger has not revoked: edges that follow the feed do not know of them. */
  readonly untold: readonly string[];
  /** Whether it was imported before: then nothing was changed. */
  readonly repeated: boolean;
}

/** A list of an offline root is about some intermediates. */
const mostBytes = 1 << 20;
/** Clocks of the two machines may be this far apart. */
const largestSkewMs = 3_600_000;

/**
 * Takes over a list that an issuer signed whose key is not here, for all processes over the ledger to publish. It must be
 * that issuer's, whole, in force, and newer than the one at hand.
 *
 * Denials: ERR_PUBLISH_IMPORT.
 */
export async function importList(
  bytes: Uint8Array,
  parts: {
    readonly issuers: readonly PublishingIssuer[];
    readonly ledger: Ledger;
    readonly clock: Clock;
    /** Who imports it, for the audit trail. */
    readonly by: string;
  },
): Promise<ImportedList | Denial> {
  const { ledger, clock, by } = parts;
  if (bytes.byteLength > mostBytes)
    return refuse(`has ${bytes.byteLength} bytes, at most ${mostBytes} are taken`);
  const list = parseCrl(bytes);

  // 1. Whose it is: the signature decides, not the name alone.
  const issuer = parts.issuers.find(
    ({ certificate, signer }) => signer === undefined && isSignedBy(list, certificate),
  );
  if (issuer === undefined) {
    const away = parts.issuers.filter(({ signer }) => signer === undefined);
    const names = away.map(({ name }) => `"${name}"`).join(', ');
    return refuse(
      `is signed by none of the issuers whose key is not here: ${names || 'there are none'}`,
    );
  }

  // 2. What it is about, and until when.
  const wrong = defectOf(list, clock.now());
  if (wrong !== undefined) return refuse(wrong);
  const { crlNumber: number = 0n, nextUpdate = 0 } = list;

  // 3. Newer than the one at hand (RFC 5280 §5.2.3).
  const name = documentName(issuer.certificate);
  const document = await ledger.document(name);
  const held = document && parseCrl(fromBase64(document.body) ?? new Uint8Array());
  const path = publishedPath.crl(slugOf(issuer.name, issuer.certificate));
  const answer = {
    ok: true,
    issuer: issuer.name,
    path,
    number,
    nextUpdate,
    untold: await untoldOf(list, ledger),
  } as const;
  if (held !== undefined && equalBytes(held.raw, bytes)) return { ...answer, repeated: true };
  if (held?.crlNumber !== undefined && number <= held.crlNumber) {
    return refuse(`has number ${number}, the one at hand has ${held.crlNumber}`);
  }

  // 4. Durable, and in the trail; whoever publishes takes it up.
  const listHash = hash('sha256', bytes);
  const changed = await ledger.changeDocument({
    name,
    replaces: document?.version ?? 0,
    body: toBase64(bytes),
    said: {
      what: 'list',
      by,
      asked: 'import',
      subject: path,
      detail: `number ${number}, SHA-256 ${listHash}`,
    },
    forgetsHolders: false,
  });
  return changed.ok ? { ...answer, repeated: false } : changed;
}

/** The imported lists of issuers whose key is not here, as they are published. */
export async function importedLists(
  issuers: readonly PublishingIssuer[],
  ledger: Pick<Ledger, 'document'>,
): Promise<
  readonly { readonly issuer: string; readonly path: string; readonly list: SignedList }[]
> {
  return (await heldLists(issuers, ledger)).map(({ issuer, certificate, crl }) => {
    const { raw: bytes, crlNumber: number = 0n, entries, thisUpdate, nextUpdate = 0 } = crl;
    const times = { madeAt: thisUpdate, thisUpdate, nextUpdate };
    const list: SignedList = { bytes, number, entries: entries.size, ...times };
    return { issuer, path: publishedPath.crl(slugOf(issuer, certificate)), list };
  });
}

/** The same lists, read. */
export async function heldLists(
  issuers: readonly PublishingIssuer[],
  ledger: Pick<Ledger, 'document'>,
): Promise<
  readonly { readonly issuer: string; readonly certificate: Certificate; readonly crl: Crl }[]
> {
  const found = [];
  for (const { name: issuer, certificate, signer } of issuers) {
    if (signer !== undefined) continue;
    const document = await ledger.document(documentName(certificate));
    const bytes = document && fromBase64(document.body);
    if (bytes !== undefined) found.push({ issuer, certificate, crl: parseCrl(bytes) });
  }
  return found;
}

async function untoldOf(list: Crl, ledger: Ledger): Promise<string[]> {
  const untold: string[] = [];
  for (const serial of list.entries.keys()) {
    const { status } = await ledger.certificateStatus(serial);
    if (status === 'good') untold.push(serial);
  }
  return untold;
}

function documentName(certificate: Certificate): string {
  return `list ${hash('sha256', certificate.spki.raw)}`;
}

function isSignedBy(list: Crl, certificate: Certificate): boolean {
  return (
    equalBytes(list.issuer.raw, certificate.subject.raw) &&
    verifySignature(certificate.spki, list.signatureAlgorithm, list.tbs, list.signature)
  );
}

function defectOf(list: Crl, now: number): string | undefined {
  const { crlNumber, nextUpdate, thisUpdate, deltaCrlBase, unknownCriticalExtensions } = list;
  if (deltaCrlBase !== undefined) return 'is a delta list, a whole one is needed';
  if (list.issuingDistributionPoint !== undefined)
    return 'is about a part of its certificates only';
  const [unknown] = unknownCriticalExtensions;
  if (unknown !== undefined) return `has the critical extension "${unknown}", which is not known`;
  if (crlNumber === undefined) return 'has no CRL number';
  if (nextUpdate === undefined) return 'has no nextUpdate';
  const at = new Date(now).toISOString();
  if (nextUpdate <= now) return `ended at ${new Date(nextUpdate).toISOString()}, it is now ${at}`;
  if (thisUpdate > now + largestSkewMs) {
    return `begins at ${new Date(thisUpdate).toISOString()}, it is now ${at}`;
  }
  return undefined;
}

function refuse(wrong: string): Denial {
  return denial('ERR_PUBLISH_IMPORT', `the list ${wrong}`);
}
