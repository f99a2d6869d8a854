/** Paths of an edge's resources below its own, each `{}` a name in it. */
export type AcmeResources = Readonly<Record<AcmeResource, string>>;

export type AcmeResource =
  | 'newNonce'
  | 'newAccount'
  | 'newOrder'
  | 'revokeCert'
  | 'keyChange'
  | 'renewalInfo'
  | 'account'
  | 'orders'
  | 'order'
  | 'finalize'
  | 'authorization'
  | 'challenge'
  | 'certificate'
  | 'alternate';

export const usualResources: AcmeResources = {
  newNonce: '/new-nonce',
  newAccount: '/new-account',
  newOrder: '/new-order',
  revokeCert: '/revoke-certificate',
  keyChange: '/key-change',
  renewalInfo: '/renewal-info/{}',
  account: '/account/{}',
  orders: '/account/{}/orders',
  order: '/order/{}',
  finalize: '/order/{}/finalize',
  authorization: '/authorization/{}',
  challenge: '/challenge/{}/{}',
  certificate: '/certificate/{}',
  alternate: '/certificate/{}/{}',
};

/** What a path is of, by the names in it; undefined where it is of nothing. */
export class ResourcePatterns {
  readonly #patterns: readonly (readonly [AcmeResource, RegExp])[];

  constructor(resources: AcmeResources) {
    this.#patterns = Object.entries(resources).map(([resource, path]) => {
      const text = path.replaceAll(/[.]/g, '\\.').replaceAll('{}', '([A-Za-z0-9_.-]{1,200})');
      return [resource as AcmeResource, new RegExp(`^${text}$`)];
    });
  }

  find(
    path: string,
  ): { readonly resource: AcmeResource; readonly names: readonly string[] } | undefined {
    for (const [resource, pattern] of this.#patterns) {
      const match = pattern.exec(path);
      if (match !== null) return { resource, names: match.slice(1) };
    }
    return undefined;
  }
}
