import { after } from 'node:test';
import { noLog, Secret, systemClock } from '@countersign/base';
import { makeSoftTpm, softTpmMissing } from '../../../test/soft-tpm.ts';
import { signerSuite } from '../signer.suite.ts';
import { pkcs11Store } from './pkcs11-store.ts';

const missing = softTpmMissing();
const tpm = missing === false ? await makeSoftTpm('tpm') : undefined;
after(() => tpm?.remove());

signerSuite(
  'keys in a TPM (swtpm through tpm2-pkcs11)',
  {
    open: async () =>
      pkcs11Store({
        module: tpm?.module ?? '',
        label: 'tpm',
        pin: async () => new Secret(tpm?.pin ?? ''),
        clock: systemClock,
        log: noLog,
      }),
    kinds: [
      { type: 'EC', curve: 'P-256' },
      { type: 'EC', curve: 'P-384' },
      { type: 'RSA', bits: 2048 },
    ],
    refused: { type: 'Ed25519' },
    signsPss: false,
    secrets: [tpm?.pin ?? 'none'],
  },
  { skip: missing },
);
