import type { CodeFamily } from '../code-row.ts';

export const mtlsCodes = {
  ERR_TLS_SERVER_NAME: {
    meaning: 'A client asked for a server name that the listener does not serve, or for none.',
    hint: 'connect by one of the names that the listener is configured for',
    exit: 1,
  },
  ERR_TLS_HANDSHAKE: {
    meaning: 'A TLS handshake failed before any certificate could be judged.',
    hint: 'compare the TLS versions, ciphers and ALPN protocols of both sides; the log line has the reason that OpenSSL gave',
    exit: 1,
  },
  ERR_TLS_ABORTED: {
    meaning: 'The other side closed the connection in the middle of a TLS handshake.',
    hint: 'look at the log of the other side: it refused our certificate, or it is no TLS client',
    exit: 1,
  },
  ERR_TLS_TIMEOUT: {
    meaning: 'A TLS handshake was not finished within the time it was given.',
    hint: 'check the network between both sides; raise the handshake time-out only for slow links',
    exit: 3,
  },
  ERR_TLS_HANDSHAKE_CAP: {
    meaning: 'A connection was dropped because as many handshakes as may be are under way.',
    hint: 'somebody may be flooding the listener; if not, raise `limits.maxHandshakes`',
    exit: 3,
  },
  ERR_TLS_CONNECTION_CAP: {
    meaning: 'A listener holds as many connections as it may, and dropped a new one.',
    hint: 'raise the connection limit, or find who opens so many connections',
    exit: 1,
  },
  ERR_TLS_CLIENT_CERTIFICATE_MISSING: {
    meaning: 'A client connected without a certificate where one is required.',
    hint: 'give the client its certificate chain and key (curl: --cert chain.pem --key key.pem)',
    exit: 1,
  },
  ERR_TLS_CHAIN_MALFORMED: {
    meaning:
      'The other side sent a certificate chain that cannot be read, or one that is too long.',
    hint: 'run `countersign inspect` on the chain file of the other side',
    exit: 1,
  },
  ERR_TLS_RESUMED_CHAIN_GONE: {
    meaning: 'A TLS session was resumed whose certificate chain is no longer remembered.',
    hint: 'nothing to do: the client makes a full handshake when it connects again',
    exit: 1,
  },
  ERR_TLS_PROXY_HEADER: {
    meaning:
      'A listener behind proxies was connected to without a PROXY header (version 2), or by whom it does not trust.',
    hint: 'let the proxy send version 2 of the PROXY protocol, and name its network in the `proxyProtocol` of the listener',
    exit: 1,
  },
  ERR_TLS_CONTEXT: {
    meaning: 'A certificate chain and its key could not be made into a TLS context.',
    hint: 'check that the chain begins with the certificate of that key, and that both are read whole',
    exit: 2,
  },
  ERR_LISTEN: {
    meaning: 'A port could not be listened on.',
    hint: 'choose another port (0 takes any free one), or stop what listens there',
    exit: 3,
  },
  ERR_DIAL_UNREACHABLE: {
    meaning: 'No TCP connection to the other side could be opened.',
    hint: 'check the address and port, and that the other side runs',
    exit: 3,
  },
  ERR_DIAL_TIMEOUT: {
    meaning: 'The other side did not finish a TLS handshake within the time it was given.',
    hint: 'check that the address is that of a TLS server, and the network between',
    exit: 3,
  },
  ERR_DIAL_ABORTED: {
    meaning: 'A connection attempt was given up by our own side.',
    hint: 'nothing to do: the caller went away or the program is stopping',
    exit: 3,
  },
  ERR_SERVER_CERTIFICATE_MISSING: {
    meaning: 'A server finished a TLS handshake without presenting a certificate.',
    hint: 'check that the address is that of the server meant',
    exit: 1,
  },
  ERR_PEER_UNEXPECTED: {
    meaning: 'The other side proved an identity, but not the one that is expected at this address.',
    hint: 'compare the expected identity in the configuration with the one in the message',
    exit: 1,
  },
  ERR_PEER_ANCHOR_GONE: {
    meaning: 'The chain of a connected peer no longer leads to a trust anchor that is in force.',
    hint: 'compare the trust bundle with the issuer of the peer; the peer connects again with a chain to a current anchor',
    exit: 1,
  },
} as const satisfies CodeFamily;
