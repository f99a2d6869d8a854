import type { CodeFamily } from '../code-row.ts';

export const x509CmsCodes = {
  ERR_CMS_SIGNER: {
    meaning: 'Nobody who may sign a CMS (PKCS #7) document signed this one.',
    hint: 'compare the certificates that are configured with the issuer and serial number of its signer',
    exit: 1,
  },
  ERR_CMS_ALGORITHM: {
    meaning: 'A CMS document is signed by an algorithm that is not accepted, such as DSA or SHA-1.',
    hint: 'take one that is signed with SHA-256; of AWS that is "rsa2048", not "pkcs7"',
    exit: 1,
  },
  ERR_CMS_DIGEST: {
    meaning: 'What a CMS document has signed is not its content.',
    hint: 'it was changed or put together from others: fetch it again',
    exit: 1,
  },
  ERR_CMS_SIGNATURE: {
    meaning: 'The signature of a CMS document does not verify by the key that it names.',
    hint: 'it was changed on its way, or the certificate that is configured is another of that serial number',
    exit: 1,
  },
} as const satisfies CodeFamily;
