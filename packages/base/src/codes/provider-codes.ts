import type { CodeFamily } from '../code-row.ts';

export const providerCodes = {
  ERR_PROVIDER_OPTIONS: {
    meaning: 'The options of an mTLS provider cannot be used as they are.',
    hint: 'the message has the option and what was expected; docs/provider.md lists them all',
    exit: 2,
  },
  ERR_PROVIDER_CA: {
    meaning: 'A local authority could not be opened from its certificate and key files.',
    hint: 'give a CA certificate (the root last) and its unencrypted PKCS #8 key, readable by you alone',
    exit: 2,
  },
  ERR_PROVIDER_FALLBACK: {
    meaning: 'Falling back to plaintext was asked for where it must not happen.',
    hint: 'leave allow_fallback out in production; --force-fallback says that you mean it',
    exit: 2,
  },
  ERR_PROVIDER_PLAINTEXT: {
    meaning: 'A client that does mTLS was asked for a URL without TLS.',
    hint: 'write https:// in the URL, or build a client with mTLS switched off',
    exit: 2,
  },
  ERR_PROVIDER_STOPPED: {
    meaning: 'A client was used after its provider was closed.',
    hint: 'close the provider last',
    exit: 3,
  },
} as const satisfies CodeFamily;
