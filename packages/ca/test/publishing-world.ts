import { type Clock, noLog, noMeter } from '@countersign/base';
import { positionOfSerial } from '@countersign/spiffe';
import { type TestCa, testCa } from '@countersign/testkit';
import type { RevocationReason } from '@countersign/x509';
import type { Intent, Ledger, RevocationBy } from '../src/index.ts';
import { memoryLedger } from '../src/ledger/memory-ledger.ts';
import { type ListStateStore, volatileListState } from '../src/publish/list-state.ts';
import { interpretPublish, type WrittenPublish } from '../src/publish/publish-config.ts';
import { PublishMetrics } from '../src/publish/publish-metrics.ts';
import type { PublishingIssuer } from '../src/publish/publishing-issuer.ts';
import { RevocationLists } from '../src/publish/revocation-lists.ts';
import { RevokedIndex } from '../src/publish/revoked-index.ts';

/** An issuer, a ledger with certificates that are no more than their intents, and the lists about them. */
export interface PublishingWorld {
  readonly ca: TestCa;
  readonly ledger: Ledger;
  readonly issuer: PublishingIssuer;
  readonly states: ListStateStore;
  readonly lists: RevocationLists;
  readonly index: RevokedIndex;
  order(about?: { readonly spiffeId?: string; readonly notAfter?: number }): Promise<Intent>;
  revoke(by: RevocationBy, value: string, reason?: RevocationReason): Promise<void>;
  /** Lists of the same ledger and state, as another process would keep them. */
  restart(): Promise<PublishingWorld>;
  close(): Promise<void>;
}

export async function publishingWorld(options: {
  readonly clock: Clock;
  readonly crl?: NonNullable<WrittenPublish['crl']>;
  readonly ledger?: Ledger;
  readonly ca?: TestCa;
  readonly states?: ListStateStore;
}): Promise<PublishingWorld> {
  const { clock, crl = {} } = options;
  const decade = { notAfter: clock.now() + 3650 * 86_400_000 };
  const ca = options.ca ?? testCa({ at: clock.now(), ...decade }).intermediate(decade);
  const ledger = options.ledger ?? memoryLedger({ clock });
  const states = options.states ?? volatileListState();
  const config = interpretPublish({ url, crl }, (_, message) => {
    throw new RangeError(message);
  });
  if (config?.crl === undefined) throw new TypeError('lists are switched off');
  const issuer = { name: 'services', certificate: ca.certificate, signer: async () => ca.signer };
  const lists = await RevocationLists.open({
    issuers: [issuer],
    crl: config.crl,
    url,
    longestMs: 86_400_000,
    states,
    takeNumber: async (_path, wanted) => wanted,
    clock,
    log: noLog,
    metrics: new PublishMetrics(noMeter),
  });
  const index = new RevokedIndex({
    ledger,
    clock,
    log: noLog,
    onRevoked: (row) => lists.add(row),
    onRestart: () => lists.clear(),
  });
  lists.keep(index);
  return {
    ca,
    ledger,
    issuer,
    states,
    lists,
    index,
    async order({ spiffeId = orders, notAfter = clock.now() + 3_600_000 } = {}) {
      const intent = await ledger.intend({
        grant: { kind: 'operator' },
        spiffeId,
        names: [`uri:${spiffeId}`],
        spkiHash: 'ab'.repeat(32),
        provisioner: 'operator',
        issuer: 'services',
        notAfter,
      });
      if (!intent.ok) throw new TypeError(intent.detail);
      if (positionOfSerial(intent.serial) !== intent.position) throw new TypeError('serial');
      return intent;
    },
    async revoke(by, value, reason = 'superseded') {
      const outcome = await ledger.revoke({ by, value, reason, orderedBy: 'operator' });
      if (!outcome.ok) throw new TypeError(outcome.detail);
    },
    restart: async () => {
      await lists.stop();
      await index.stop();
      return await publishingWorld({ clock, crl, ledger, ca, states });
    },
    async close() {
      await lists.stop();
      await index.stop();
      await ledger.close();
    },
  };
}

export const url = 'http://pki.example.com';
export const orders = 'spiffe://example.com/ns/prod/sa/orders';
