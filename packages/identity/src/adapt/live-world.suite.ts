import { randomBytes } from 'node:crypto';
import { noLog, systemClock } from '@countersign/base';
import { ChangeSignal } from '@countersign/spiffe';
import type { GeneralName, NameAttribute } from '@countersign/x509';
import { parseIpAddress } from '@countersign/x509';
import { type SigningDouble, signingDouble } from '../authority-double.suite.ts';
import type { Identity } from '../identity.ts';
import { type LiveIdentity, liveIdentity } from '../live/live-identity.ts';

export const serverId = 'spiffe://example.com/ns/prod/sa/orders';
export const clientId = 'spiffe://example.com/ns/prod/sa/payments';

export interface RotatingForTest extends LiveIdentity {
  /** A new certificate at once, as a rotation would bring it. */
  rotate(): void;
}

/** Identities of one authority that rotate when they are told to. */
export class LiveWorld {
  readonly authority: SigningDouble = signingDouble(systemClock);

  identity(
    id: string,
    names: readonly GeneralName[] = [],
    subject: readonly NameAttribute[] = [],
  ): RotatingForTest {
    const issue = (): Identity => {
      const serial = new Uint8Array([1, ...randomBytes(15)]);
      return this.authority.identity({ id, names, subject, serial });
    };
    const changes = new ChangeSignal((thrown) => {
      throw thrown;
    });
    let identity = issue();
    const live = liveIdentity({
      get identity() {
        return identity;
      },
      svid: () => identity.svid,
      bundle: (domain) => (domain === identity.bundle.trustDomain ? identity.bundle : undefined),
      authorities: () => identity.bundle.authorities,
      onChange: (listener) => changes.onChange(listener),
    });
    return Object.assign(live, {
      rotate() {
        identity = issue();
        changes.notify();
      },
    });
  }

  server(): RotatingForTest {
    return this.identity(serverId, localNames);
  }
}

export const localNames: readonly GeneralName[] = [
  { kind: 'dns', value: 'localhost' },
  { kind: 'ip', bytes: parseIpAddress('127.0.0.1') ?? new Uint8Array() },
];

export const quiet = { clock: systemClock, log: noLog };
