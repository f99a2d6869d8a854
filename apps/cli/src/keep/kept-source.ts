import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import type { WrittenSigner } from '@countersign/config';
import {
  type Issuer,
  type LiveSource,
  type NamedCertificate,
  orderNamed,
  type RenewalWish,
  trustDomainOf,
} from '@countersign/identity';
import { makeBundle, type TrustBundle } from '@countersign/spiffe';
import type { AuthorityClient } from '@countersign/wire';
import { type GeneralName, keyKindOf } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { rootsOfConfig, signerOfConfig } from '../issuers/signer-of-config.ts';
import type { KeptCertificate } from './kept-certificate.ts';
import { orderCertificate, wrongWith } from './order-certificate.ts';

/** Who signs for an entry: our authority, or one of somebody else's. */
export interface KeptSource {
  readonly trustDomain: string;
  /** Of an entry that is `own`. */
  readonly ownNames: readonly GeneralName[];
  /** Who is trusted now; undefined: whoever was when the certificate came. */
  bundle(): Promise<TrustBundle | undefined>;
  order(before: NamedCertificate | undefined): Promise<NamedCertificate>;
  /** From when on the signer wishes that it be renewed, in milliseconds since the epoch; undefined: no wish. */
  wishedAt(held: NamedCertificate): Promise<number | undefined>;
}

export interface SourceTools {
  readonly cli: Pick<Cli, 'env'>;
  /** Undefined where every entry comes from somebody else's authority. */
  readonly authority: Pick<AuthorityClient, 'issueBatch'> | undefined;
  /** The keeper's own identity, and the trust bundle of now. */
  readonly keeper: LiveSource | undefined;
  /** Opened once each, for as long as the keeper runs. */
  readonly others: OtherIssuers;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** @throws CountersignError ERR_USAGE for an entry of ours where the keeper has no identity */
export function sourceOf(kept: KeptCertificate, tools: SourceTools): KeptSource {
  const { authority, keeper, clock, signal } = tools;
  if (kept.from !== undefined) return otherSource(kept, kept.from, tools);
  if (authority === undefined || keeper === undefined) {
    const message = `keep "${kept.name}": the keeper has no identity to order it with`;
    throw new CountersignError('ERR_USAGE', message, { hint: 'start it again with --identity' });
  }
  const { spiffeId, leaf } = keeper.svid();
  const ownNames = leaf.subjectAltNames;
  return {
    ...{ trustDomain: spiffeId.trustDomain, ownNames },
    bundle: async () => keeper.bundle(spiffeId.trustDomain),
    order: (before) => orderCertificate(kept, before, { authority, ownNames, clock, signal }),
    wishedAt: async () => undefined,
  };
}

export interface OtherIssuer {
  readonly written: WrittenSigner;
  /** Of the file. */
  readonly directory: string;
}

/** RFC 9773 §4.3.2: whatever an issuer says, it is asked again no sooner and no later. */
const askedAgainMs = { least: 60_000, most: 86_400_000 } as const;
/** Of certificates that were replaced, too. */
const mostWishes = 10_000;

/** Issuers of others, by what is written of them: their sessions and accounts outlive a look. */
export class OtherIssuers {
  readonly #open = new Map<string, Issuer>();
  readonly #wishes = new Map<string, { wish: RenewalWish | undefined; until: number }>();

  of({ written, directory }: OtherIssuer, { cli, clock, log }: SourceTools): Issuer {
    const key = JSON.stringify([directory, written]);
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const issuer = signerOfConfig(written, { cli, directory, clock, log });
    this.#open.set(key, issuer);
    return issuer;
  }

  /** Asked as often as the issuer says; while it is away there is no wish. */
  async wish(
    issuer: Issuer,
    held: NamedCertificate,
    { clock, signal, log }: SourceTools,
  ): Promise<RenewalWish | undefined> {
    const { serialHex } = held.chain[0];
    const known = this.#wishes.get(serialHex);
    if (known !== undefined && clock.now() < known.until) return known.wish;
    const wish = await issuer.renewalWish?.(held, signal).catch((thrown: unknown) => {
      log.debug({ reason: messageOf(thrown) }, 'no word of when to renew');
      return undefined;
    });
    const { least, most } = askedAgainMs;
    const againMs = Math.min(most, Math.max(least, wish?.askAgainMs ?? 3_600_000));
    // The newest is the last: the first is of a certificate that was replaced, or is asked about again.
    this.#wishes.delete(serialHex);
    this.#wishes.set(serialHex, { wish, until: clock.now() + againMs });
    const [oldest] = this.#wishes.keys();
    if (this.#wishes.size > mostWishes && oldest !== undefined) this.#wishes.delete(oldest);
    return wish;
  }

  close(): void {
    for (const issuer of this.#open.values()) issuer.close?.();
    this.#open.clear();
    this.#wishes.clear();
  }
}

function otherSource(kept: KeptCertificate, from: OtherIssuer, tools: SourceTools): KeptSource {
  const { cli, clock, log, others, signal } = tools;
  const issuer = others.of(from, tools);
  const roots = rootsOfConfig(from.written, { cli, directory: from.directory, clock, log });
  const names = kept.names ?? { spiffeId: undefined, commonName: undefined, dns: [], ip: [] };
  const trustDomain = trustDomainOf(names);
  return {
    ...{ trustDomain, ownNames: [] },
    bundle: async () => (roots === undefined ? undefined : makeBundle(trustDomain, await roots())),
    async order(held) {
      const { ttlMs, keyKind, rotatesKey } = kept;
      const isSame =
        JSON.stringify(held && keyKindOf(held.chain[0].spki)) === JSON.stringify(keyKind);
      const privateKey = rotatesKey || !isSame ? undefined : held?.privateKey;
      const certificate = await orderNamed({
        ...{ issuer, names, ttlMs, roots, keyKind, privateKey, held, clock, signal },
      });
      const differs = wrongWith(kept, certificate, []);
      if (differs === undefined) return certificate;
      const message = `check the certificate of "${kept.name}": ${differs}`;
      throw new CountersignError('ERR_KEEP_ISSUED', message);
    },
    async wishedAt(held) {
      const wish = await others.wish(issuer, held, tools);
      return wish?.at;
    },
  };
}
