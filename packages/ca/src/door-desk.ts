import { hash } from 'node:crypto';
import type { Clock, Denial } from '@countersign/base';
import type { Certificate, SubjectPublicKeyInfo } from '@countersign/x509';
import type { AuthorityParts } from './authority-parts.ts';
import type { CaConfig } from './ca-config.ts';
import { parseNames, type WrittenNames } from './certificate-names.ts';
import { type CsrAndWishes, wishes } from './csr-and-wishes.ts';
import type { Draft } from './draft.ts';
import { certify } from './hierarchy.ts';
import { type IssueContext, type Issued, issueCertificate, type Refusal } from './issue.ts';
import type { IssueGrant } from './issue-grant.ts';
import type { Issuer, SigningPair } from './issuer.ts';
import { decideNoted } from './ledger/decide-noted.ts';
import type { Ledger } from './ledger/ledger.ts';
import { judgeNames } from './name-policy.ts';
import type { Requester } from './policy/who.ts';
import type { Sealer } from './sealed-key.ts';
import type { KeyStores } from './signers/key-stores.ts';

export type Vouched = Omit<Extract<IssueGrant, { by: 'door' }>, 'by' | 'names'>;

/** What edges for other protocols ask of an authority: each has found its caller entitled, by evidence of its own. */
export class DoorDesk {
  readonly #context: () => IssueContext;

  /** Where keys of further authorities are made; undefined: nowhere. */
  readonly stores: KeyStores | undefined;
  /** Seals secrets that a door has to keep, such as the credential of another server; undefined: none is kept. */
  readonly sealer: Sealer | undefined;

  constructor(
    context: () => IssueContext,
    { stores, sealer }: Pick<AuthorityParts, 'stores' | 'sealer'>,
  ) {
    this.#context = context;
    this.stores = stores;
    this.sealer = sealer;
  }

  /** Within the policy for the edge's provisioner. `issuers`: instead of the hierarchy's own. */
  vouch(
    request: CsrAndWishes & WrittenNames & Vouched,
    issuers?: readonly Issuer[],
  ): Promise<Issued | Refusal> {
    const { provisioner, caller, evidence, commonName, renews } = request;
    const named = { provisioner, caller, evidence, commonName, names: request, renews };
    const grant = { by: 'door', ...named } as const;
    const question = { asked: 'issue', subject: evidence, by: caller, provisioner } as const;
    const context = this.#context();
    const under = issuers === undefined ? context : { ...context, issuers };
    return decideNoted(context.ledger, question, () =>
      issueCertificate({ ...wishes(request), grant }, under),
    );
  }

  /** Why nobody of that kind may have the names, whatever the key and the lifetime; undefined where one may. */
  judgeNames(written: WrittenNames, requester: Requester, profile?: string): Denial | undefined {
    const { config, issuers, clock } = this.#context();
    const named = parseNames(written);
    if (!named.ok) return named;
    const { names } = named;
    const at = clock.now();
    const question = { at, names, requester, profile, kind: undefined, ttlMs: 0 };
    const judged = judgeNames(question, config, issuers);
    return judged.ok ? undefined : judged;
  }

  /** DER of what follows a certificate that the issuer of that name in the ledger signed, without the root. */
  chainOf(ledgerName: string): readonly Uint8Array[] {
    const issuer = this.#context().issuers.find((each) => each.ledgerName === ledgerName);
    return issuer?.chainDer ?? [];
  }

  /** Every certificate of an intermediate that is in force, and those that go behind their chains. */
  authorities(): readonly Certificate[] {
    return this.#context().issuers.flatMap(({ chain, behind = [] }) => [...chain, ...behind]);
  }

  /** The intermediate of that name with its key, as it signs now. */
  issuerOf(name: string): Issuer | undefined {
    return this.#context().issuers.find((each) => each.name === name);
  }

  /**
   * A certificate of a further authority, by the door's word: lint, intent, signature, record, as for the hierarchy.
   *
   * @throws CountersignError ERR_LINT where the draft breaks a rule
   */
  certify(
    draft: Draft,
    issuer: Pick<SigningPair, 'signer'> & { readonly ledgerName: string },
    by: Vouched,
  ): Promise<Certificate> {
    const { config, ledger, clock } = this.#context();
    const { provisioner, evidence } = by;
    const { signer, ledgerName: name } = issuer;
    return certify(
      draft,
      { name, signer },
      { config, ledger, clock, by: { provisioner, evidence } },
    );
  }

  /** Whether the key is one of the authority's own, which certifies nothing else. */
  isOwnKey(spki: SubjectPublicKeyInfo): boolean {
    const wanted = hash('sha256', spki.raw);
    return this.#context().authorityKeys.some((key) => hash('sha256', key) === wanted);
  }

  get facts(): { readonly config: CaConfig; readonly ledger: Ledger; readonly clock: Clock } {
    return this.#context();
  }
}
