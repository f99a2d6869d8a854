import { type Denial, denial } from '@countersign/base';
import type { Asked } from './asked.ts';
import { forgetLostDocuments, markOf, proveDocuments, provenDocument } from './document-mark.ts';
import { isRedeemable } from './grant-refusals.ts';
import { factsOf } from './ledger-store.ts';
import { boundedLimit, type LedgerTransaction } from './ledger-transaction.ts';
import type {
  BundleHolder,
  BundleReport,
  DocumentChange,
  LivePage,
  TokenPage,
} from './rotation-records.ts';
import { coveringRevocation } from './standing-revocations.ts';

/** Writes, by name, about keys of the hierarchy that are being replaced. */
export const rotationWrites = {
  changeDocument(
    tx: LedgerTransaction,
    change: DocumentChange,
    asked?: Asked,
  ): { readonly ok: true; readonly version: number } | Denial {
    const { name, replaces, newerThan = 0, body, said, forgetsHolders } = change;
    const version = provenDocument(tx, name)?.version ?? 0;
    if (version !== replaces) {
      const sides = `has version ${version}, ${replaces} was to be replaced`;
      return denial('ERR_LEDGER_DOCUMENT', `document "${name}" ${sides}`, { version, replaces });
    }
    const document = { name, version: Math.max(version, newerThan) + 1, body };
    tx.store.putDocument(document);
    if (forgetsHolders) tx.store.forgetHolders();
    const from = asked?.from === undefined ? {} : { from: asked.from };
    tx.store.trail({ at: tx.at, what: 'rotation', ...said, ...from, document: markOf(document) });
    return { ok: true, version: document.version };
  },

  forgetLostDocuments,

  /** Of a certificate that was not ordered here nothing is kept. */
  reportBundle(tx: LedgerTransaction, { serialHex, instance, digest }: BundleReport): void {
    const intent = tx.store.intentBySerial(serialHex);
    if (intent === undefined) return;
    tx.store.putHolder({ intent: intent.position, instance, digest, at: tx.at });
  },
} as const;

export const rotationReads = {
  document: provenDocument,
  proveDocuments,

  liveCertificates(tx: LedgerTransaction, after: number, limit: number): LivePage {
    const most = boundedLimit(limit);
    const found = tx.store.unexpired(after, tx.at, most);
    const last = found.at(-1);
    return {
      certificates: found.filter((each) => {
        const facts = factsOf({ kind: 'intent', ...each });
        return coveringRevocation(tx, facts) === undefined;
      }),
      next: found.length < most ? undefined : last?.position,
    };
  },

  openTokens(tx: LedgerTransaction, after: number, limit: number): TokenPage {
    const most = boundedLimit(limit);
    const found = tx.store.openTokens(after, tx.at, most);
    return {
      tokens: found.filter((token) => isRedeemable(tx, token)),
      next: found.length < most ? undefined : found.at(-1)?.position,
    };
  },

  leaseHolders: (tx: LedgerTransaction): readonly BundleHolder[] => tx.store.leaseHolders(),
} as const;
