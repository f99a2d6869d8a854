import { account, keyChange, newAccount, ordersList } from './accounts.ts';
import type { AcmeContext } from './acme-context.ts';
import type { AcmeHandler } from './acme-request.ts';
import { authorization, challenge } from './authorizations.ts';
import { certificate, revokeCertificate } from './certificates.ts';
import { finalize } from './finalize.ts';
import { newOrder, order } from './orders.ts';

export interface AcmeRoute {
  readonly name: string;
  /** Of the path below the edge's own; its groups are what the path names. */
  readonly pattern: RegExp;
  readonly signedBy: 'account' | 'key' | 'either';
  readonly answer: AcmeHandler<AcmeContext>;
}

/** What is asked by a signed POST. */
export const acmeRoutes: readonly AcmeRoute[] = [
  { name: 'new-account', pattern: /^\/new-account$/, signedBy: 'key', answer: newAccount },
  { name: 'account', pattern: /^\/account\/([a-z0-9]+)$/, signedBy: 'account', answer: account },
  {
    name: 'orders',
    pattern: /^\/account\/([a-z0-9]+)\/orders$/,
    signedBy: 'account',
    answer: ordersList,
  },
  { name: 'key-change', pattern: /^\/key-change$/, signedBy: 'account', answer: keyChange },
  { name: 'new-order', pattern: /^\/new-order$/, signedBy: 'account', answer: newOrder },
  { name: 'order', pattern: /^\/order\/([a-z0-9]+)$/, signedBy: 'account', answer: order },
  {
    name: 'finalize',
    pattern: /^\/order\/([a-z0-9]+)\/finalize$/,
    signedBy: 'account',
    answer: finalize,
  },
  {
    name: 'authorization',
    pattern: /^\/authorization\/([a-z0-9]+)$/,
    signedBy: 'account',
    answer: authorization,
  },
  {
    name: 'challenge',
    pattern: /^\/challenge\/([a-z0-9]+)\/([a-z0-9-]+)$/,
    signedBy: 'account',
    answer: challenge,
  },
  {
    name: 'certificate',
    pattern: /^\/certificate\/([0-9a-f]+)(?:\/([1-9]\d?))?$/,
    signedBy: 'account',
    answer: certificate,
  },
  {
    name: 'revoke-certificate',
    pattern: /^\/revoke-certificate$/,
    signedBy: 'either',
    answer: revokeCertificate,
  },
];
