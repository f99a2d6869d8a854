import { Secret } from '@countersign/base';
import { createSealer } from '../sealed-key.ts';
import { memoryStore } from './memory-store.ts';
import { sealedFileStore } from './sealed-file-store.ts';
import { signerSuite } from './signer.suite.ts';

const kinds = [
  { type: 'EC', curve: 'P-256' },
  { type: 'EC', curve: 'P-384' },
  { type: 'EC', curve: 'P-521' },
  { type: 'RSA', bits: 2048 },
  { type: 'Ed25519' },
  { type: 'ML-DSA', set: 44 },
] as const;

signerSuite('keys in memory', {
  open: async () => memoryStore(),
  kinds,
  signsPss: true,
  secrets: [],
  isVolatile: true,
});

const passphrase = 'correct horse battery staple';
signerSuite('keys in sealed files', {
  open: async () => {
    const secret = new Secret(new TextEncoder().encode(passphrase));
    return sealedFileStore(createSealer(secret, { N: 1024, r: 8, p: 1 }));
  },
  kinds,
  signsPss: true,
  secrets: [passphrase],
});
