import { hash } from 'node:crypto';
import { type Denial, denial, equalBytes } from '@countersign/base';
import { formatIssuerValue } from '@countersign/wire';
import type { Certificate } from '@countersign/x509';
import type { Issuer } from './issuer.ts';
import type { Ledger, RevocationRecord } from './ledger/ledger.ts';

/** What keeps intermediates from signing now, by their names. */
export type UnfitIssuers = ReadonlyMap<string, Denial>;

export interface StandingQuestion {
  readonly issuers: readonly Issuer[];
  readonly at: number;
  /** Why nothing may be signed by a key, by its name in the ledger. */
  readonly haltOf?: ((ledgerName: string) => Denial | undefined) | undefined;
}

type Asked = Pick<Ledger, 'onCommit' | 'certificateStatus' | 'blocking'>;

/**
 * Which intermediates can sign, by what was revoked. The ledger is asked once for each until something else is revoked,
 * by this process or another; its own transaction decides in the end.
 */
export class IssuerStanding {
  readonly #ledger: Asked;
  /** By the issuer's certificate; a promise as long as the ledger is asked. */
  #known = new Map<Certificate, Promise<Denial | undefined> | Denial | undefined>();

  constructor(ledger: Asked) {
    this.#ledger = ledger;
    ledger.onCommit(() => this.forget());
  }

  /** What is known may be behind: the next question is the ledger's to answer. */
  forget(): void {
    this.#known = new Map();
  }

  /** At once where the ledger was asked before. Denials: ERR_ROTATION_NO_ISSUER, ERR_ROTATION_BEHIND, ERR_POLICY_ISSUER_ENDS. */
  unfit({ issuers, at, haltOf }: StandingQuestion): UnfitIssuers | Promise<UnfitIssuers> {
    const signing = issuers.filter((issuer) => issuer.signsServices);
    const revoked = signing.map((issuer) => this.#revoked(issuer));
    const unfitOf = (answers: readonly (Denial | undefined)[]): UnfitIssuers => {
      const unfit = new Map<string, Denial>();
      for (const [i, issuer] of signing.entries()) {
        const why = answers[i] ?? haltOf?.(issuer.ledgerName) ?? ended(issuer, at);
        if (why !== undefined) unfit.set(issuer.name, why);
      }
      return unfit;
    };
    if (revoked.some((answer) => answer instanceof Promise)) {
      return Promise.all(revoked).then(unfitOf);
    }
    return unfitOf(revoked as readonly (Denial | undefined)[]);
  }

  #revoked(issuer: Issuer): Promise<Denial | undefined> | Denial | undefined {
    const known = this.#known;
    const { certificate } = issuer;
    if (known.has(certificate)) return known.get(certificate);
    const asking = whyRevoked(issuer, this.#ledger);
    known.set(certificate, asking);
    // A failure is not remembered.
    asking.then(
      (answer) => known.set(certificate, answer),
      () => known.delete(certificate),
    );
    return asking;
  }
}

/**
 * Name of the intermediate that a certificate came from, where it is still one; its key may be another by now, and is
 * told by the subject then.
 */
export function issuerOfLeaf(leaf: Certificate, issuers: readonly Issuer[]): string | undefined {
  return issuers.find(({ certificate }) => equalBytes(certificate.subject.raw, leaf.issuer.raw))
    ?.name;
}

async function whyRevoked(issuer: Issuer, ledger: Asked): Promise<Denial | undefined> {
  const { ledgerName, certificate, chain } = issuer;
  const keys = [hash('sha256', certificate.spki.raw)];
  const block = await ledger.blocking('issuer', formatIssuerValue({ name: ledgerName, keys }));
  if (block !== undefined) return refusal(issuer, 'it is', block);
  for (const each of chain) {
    const status = await ledger.certificateStatus(each.serialHex);
    const whose = each === certificate ? 'its certificate' : 'a certificate above it';
    if (status.status === 'revoked') {
      return refusal(issuer, `${whose}, serial "${each.serialHex}", is`, status.revocation);
    }
  }
  return undefined;
}

function refusal({ name }: Issuer, what: string, { position, reason }: RevocationRecord): Denial {
  const why = `${what} revoked at position ${position}, reason ${reason}`;
  const way = `countersign root prepare --intermediate ${name} gives it a new key`;
  return denial('ERR_ROTATION_NO_ISSUER', `intermediate "${name}" signs nothing: ${why}; ${way}`, {
    issuer: name,
    position,
    reason,
  });
}

function ended({ name, notAfter }: Issuer, at: number): Denial | undefined {
  if (at < notAfter) return undefined;
  const sides = `ended at ${new Date(notAfter).toISOString()}, now is ${new Date(at).toISOString()}`;
  return denial('ERR_POLICY_ISSUER_ENDS', `intermediate "${name}" ${sides}`, {
    issuer: name,
    possibleUntil: notAfter,
  });
}
