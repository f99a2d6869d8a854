import { type Denial, denial } from '@countersign/base';
import type { TrustBundle } from '@countersign/spiffe';
import type { IssueContext } from '../issue.ts';
import { decideNoted } from '../ledger/decide-noted.ts';
import { BundleWithKeys } from './bundle-with-keys.ts';
import { type IssuedJwt, issueJwtSvid, type JwtOrder } from './issue-jwt-svid.ts';
import type { JwtKeys } from './jwt-keys.ts';

/** Where an authority's tokens come from: nowhere, unless ca.yaml has a section for them. */
export class TokenDesk {
  readonly keys: JwtKeys | undefined;
  readonly #context: () => IssueContext;
  readonly #bundle: BundleWithKeys;

  constructor(keys: JwtKeys | undefined, context: () => IssueContext) {
    this.keys = keys;
    this.#context = context;
    this.#bundle = new BundleWithKeys(keys);
  }

  /** Denials: ERR_JWT_OFF, and those of {@link issueJwtSvid}. */
  async issue(order: JwtOrder): Promise<IssuedJwt | Denial> {
    const issue = this.#context();
    const { clock, log, ledger } = issue;
    const { keys } = this;
    const { jwt: config } = issue.config;
    if (keys === undefined || config === undefined) {
      return denial('ERR_JWT_OFF', 'ca.yaml has no section jwt');
    }
    const { spiffeId, peer } = order;
    const by = peer.spiffeId?.toString() ?? `serial ${peer.serialHex}`;
    return decideNoted(ledger, { asked: 'issue', subject: `token of ${spiffeId}`, by }, () =>
      issueJwtSvid(order, { config, keys, issue, clock, log }),
    );
  }

  /** The bundle of the hierarchy, with the keys by which tokens are verified. */
  bundleWith(hierarchy: TrustBundle): TrustBundle {
    return this.#bundle.of(hierarchy);
  }
}
