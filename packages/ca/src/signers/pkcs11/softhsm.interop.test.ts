import { after } from 'node:test';
import { noLog, Secret, systemClock } from '@countersign/base';
import { makeSoftToken, softModule } from '../../../test/soft-token.ts';
import { signerSuite } from '../signer.suite.ts';
import { pkcs11Store } from './pkcs11-store.ts';

const module = softModule();
const skip = 'missing' in module && module.missing;
const token = 'path' in module ? makeSoftToken(module.path, 'suite') : undefined;
after(() => token?.remove());

signerSuite(
  'keys in a token of SoftHSM2',
  {
    open: async () =>
      pkcs11Store({
        module: token?.module ?? '',
        label: 'suite',
        pin: async () => new Secret(token?.pin ?? ''),
        labelPrefix: 'example.com',
        clock: systemClock,
        log: noLog,
      }),
    kinds: [
      { type: 'EC', curve: 'P-256' },
      { type: 'EC', curve: 'P-384' },
      { type: 'EC', curve: 'P-521' },
      { type: 'RSA', bits: 2048 },
      { type: 'RSA', bits: 3072 },
      { type: 'RSA', bits: 4096 },
      { type: 'Ed25519' },
    ],
    refused: { type: 'ML-DSA', set: 65 },
    signsPss: true,
    secrets: [token?.pin ?? 'none'],
  },
  { skip },
);
