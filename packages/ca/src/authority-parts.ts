import type { Clock, Denial, Log, Meter } from '@countersign/base';
import type { SignerState } from '@countersign/wire';
import type { Certificate, Signer } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import type { Issuer } from './issuer.ts';
import type { JwtKeys } from './jwt/jwt-keys.ts';
import type { Ledger } from './ledger/ledger.ts';
import type { IssuanceLog } from './log/issuance-log.ts';
import type { KeyLists } from './requests/key-lists.ts';
import type { TrialKeys } from './requests/trial-keys.ts';
import type { HierarchyInForce } from './rotation/hierarchy-in-force.ts';
import type { KeyRotation } from './rotation/key-rotation.ts';
import type { Sealer } from './sealed-key.ts';
import type { KeyStores } from './signers/key-stores.ts';

export interface AuthorityParts {
  readonly config: CaConfig;
  readonly root: Certificate;
  /** Opens the root's key; absent where it is not here. */
  readonly rootSigner?: (() => Promise<Signer>) | undefined;
  readonly issuers: readonly Issuer[];
  readonly ledger: Ledger;
  /** Intents without a certificate that start-up found and closed. */
  readonly orphans: number;
  /** Of `config`. Default: none. */
  readonly keyLists?: KeyLists | undefined;
  /** Where it is for trials alone. */
  readonly trialKeys?: TrialKeys | undefined;
  /** The stores of its keys, where something could be wrong with them; closed with the authority. */
  readonly keys?: AuthorityKeys | undefined;
  /** Where keys of further authorities are made; absent: nowhere. */
  readonly stores?: KeyStores | undefined;
  /** Seals what doors have to keep; absent: no key is in a file, and nothing else is kept. */
  readonly sealer?: Sealer | undefined;
  /** What it issued, for everybody to see; closed with the authority. */
  readonly issuanceLog?: IssuanceLog | undefined;
  /** Of tokens, where `config` has them. */
  readonly jwtKeys?: JwtKeys | undefined;
  /** Where a copy of the entries is kept. */
  readonly entriesFile?: string | undefined;
  /** Where its keys can be replaced: what is in force at first, and how that changes. */
  readonly rotation?:
    | { readonly hierarchy: HierarchyInForce; readonly keys: KeyRotation }
    | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

export interface AuthorityKeys {
  /** Why a store cannot sign now: a token is away, a service refuses. */
  finding(): Denial | undefined;
  /** Each store that could be away. */
  report(): readonly SignerState[];
  close(): Promise<void>;
}
