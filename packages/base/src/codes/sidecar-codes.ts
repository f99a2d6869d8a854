import type { CodeFamily } from '../code-row.ts';

export const sidecarCodes = {
  ERR_SIDECAR_PLAINTEXT: {
    meaning: 'A connection in plaintext came to a port that takes mTLS alone.',
    hint: 'give the caller a sidecar or the identity library, or set the port to PERMISSIVE until it has one',
    exit: 1,
  },
  ERR_SIDECAR_DESTINATION: {
    meaning:
      'The application asked its sidecar for a destination that the configuration does not have.',
    hint: 'add it to `outbound.destinations` in sidecar.yaml, or set `outbound.policy: ALLOW_ANY`',
    exit: 1,
  },
  ERR_SIDECAR_GUARDED: {
    meaning:
      'A destination that a sidecar never connects to for its application: this machine, or a link-local address.',
    hint: 'connect to it without the sidecar; through it nobody may reach what listens on this machine alone',
    exit: 1,
  },
  ERR_SIDECAR_ORIGIN: {
    meaning: 'A program that is not on this machine asked the outbound side of a sidecar.',
    hint: 'keep `outbound` on a loopback address: whoever reaches it speaks as this workload',
    exit: 1,
  },
  ERR_SIDECAR_PLATFORM: {
    meaning: 'The machine cannot tell where a redirected connection was going.',
    hint: 'transparent redirection needs Linux and the optional package koffi; use a port or the HTTP proxy instead',
    exit: 2,
  },
  ERR_SIDECAR_RULES: {
    meaning: 'The redirect rules could not be applied or removed.',
    hint: 'it takes root (CAP_NET_ADMIN), and iptables or nft; print the rules without --apply to see what they are',
    exit: 3,
  },
  ERR_SIDECAR_CONTROL: {
    meaning: 'The running sidecar of a data directory could not be asked.',
    hint: 'start `countersign sidecar` with the same --data, and ask as the same user',
    exit: 3,
  },
  ERR_SIDECAR_PORT: {
    meaning: 'No inbound port of the sidecar has this number.',
    hint: 'give the port of the application, as sidecar.yaml has it',
    exit: 2,
  },
} as const satisfies CodeFamily;
