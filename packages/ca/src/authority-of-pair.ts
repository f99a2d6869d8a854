import {
  type Clock,
  CountersignError,
  type Log,
  type Meter,
  noLog,
  noMeter,
} from '@countersign/base';
import { type Certificate, fingerprintOf, type Signer } from '@countersign/x509';
import { Authority } from './authority.ts';
import type { CaConfig } from './ca-config.ts';
import { draftRoot } from './draft.ts';
import { authorityFacts, certify } from './hierarchy.ts';
import { makeIssuers } from './issuer.ts';
import { memoryLedger } from './ledger/memory-ledger.ts';
import { openKeyLists } from './requests/key-lists.ts';

export interface AuthorityOfPairOptions {
  /** Its first intermediate gives the name of the issuer; the others are not there. */
  readonly config: CaConfig;
  /** The issuing certificate first, the root last; a root that issues by itself stands alone. */
  readonly chain: readonly [Certificate, ...Certificate[]];
  /** Of the issuing certificate. */
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log?: Log | undefined;
  readonly meter?: Meter | undefined;
}

/**
 * An authority around a certificate and key that exist already, with a ledger in memory: what it issued is forgotten
 * with its process, and its serials do not repeat for they are random.
 *
 * @throws CountersignError ERR_STATE_CONFIG where the key is not the certificate's, or the chain ends in no root
 */
export async function authorityOfPair(options: AuthorityOfPairOptions): Promise<Authority> {
  const { config, chain, signer, clock, log = noLog, meter = noMeter } = options;
  const [issuing] = chain;
  const root = chain.at(-1) ?? issuing;
  if (Buffer.compare(issuing.spki.raw, signer.spki.raw) !== 0) {
    throw new CountersignError(
      'ERR_STATE_CONFIG',
      `the key is not that of the certificate ${fingerprintOf(issuing)}`,
      { hint: 'give the certificate and the key that belong together' },
    );
  }
  if (Buffer.compare(root.issuer.raw, root.subject.raw) !== 0) {
    throw new CountersignError(
      'ERR_STATE_CONFIG',
      `the chain of "${issuing.serialHex}" does not end in a root`,
      { hint: 'append the root to the file of the certificate' },
    );
  }
  const name = config.intermediates[0]?.name ?? 'local';
  const issuers = makeIssuers([{ name, certificate: issuing, signer }], root, config);
  return new Authority({
    config,
    root,
    issuers,
    ledger: memoryLedger({ clock, log }),
    keyLists: await openKeyLists(config.requests, { clock, log }),
    orphans: 0,
    ...{ clock, log, meter },
  });
}

/** The certificate of a root for a key of the caller's, as `init` would make it from `ca.root` of the configuration. */
export async function selfSignedRoot(options: {
  readonly config: CaConfig;
  readonly signer: Signer;
  readonly clock: Clock;
}): Promise<Certificate> {
  const { config, signer, clock } = options;
  const context = { config, clock, ledger: memoryLedger({ clock }) };
  const draft = draftRoot(config.root, authorityFacts(config.root, signer.spki, context));
  try {
    return await certify(draft, { name: 'root', signer }, context);
  } finally {
    await context.ledger.close();
  }
}
