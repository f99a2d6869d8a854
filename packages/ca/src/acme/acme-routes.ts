import { account, keyChange, newAccount, ordersList } from './accounts.ts';
import type { AcmeContext } from './acme-context.ts';
import type { AcmeHandler } from './acme-request.ts';
import type { AcmeResource } from './acme-resources.ts';
import { authorization, challenge } from './authorizations.ts';
import { certificate, revokeCertificate } from './certificates.ts';
import { finalize } from './finalize.ts';
import { newOrder, order } from './orders.ts';

export interface AcmeRoute {
  readonly signedBy: 'account' | 'key' | 'either';
  readonly answer: AcmeHandler<AcmeContext>;
}

/** What is asked by a signed POST. */
export const acmeRoutes: Readonly<Partial<Record<AcmeResource, AcmeRoute>>> = {
  newAccount: { signedBy: 'key', answer: newAccount },
  account: { signedBy: 'account', answer: account },
  orders: { signedBy: 'account', answer: ordersList },
  keyChange: { signedBy: 'account', answer: keyChange },
  newOrder: { signedBy: 'account', answer: newOrder },
  order: { signedBy: 'account', answer: order },
  finalize: { signedBy: 'account', answer: finalize },
  authorization: { signedBy: 'account', answer: authorization },
  challenge: { signedBy: 'account', answer: challenge },
  certificate: { signedBy: 'account', answer: certificate },
  alternate: { signedBy: 'account', answer: certificate },
  revokeCert: { signedBy: 'either', answer: revokeCertificate },
};
