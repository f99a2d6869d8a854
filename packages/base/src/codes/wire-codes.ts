import type { CodeFamily } from '../code-row.ts';

export const wireCodes = {
  ERR_WIRE_JSON: {
    meaning: 'A message body is not JSON text in UTF-8.',
    hint: 'send one JSON object with content-type application/json',
    exit: 1,
  },
  ERR_WIRE_MESSAGE: {
    meaning: 'A message lacks a member, or has one of the wrong kind or outside its range.',
    hint: 'the message names the member and what is expected there',
    exit: 1,
  },
  ERR_WIRE_UNKNOWN_MEMBER: {
    meaning: 'A request has a member that nothing reads, most often a misspelt one.',
    hint: 'use the nearest valid member that the message names, or leave it out',
    exit: 1,
  },
  ERR_WIRE_UNSUPPORTED: {
    meaning: 'A request asks for something that this version does not do.',
    hint: 'say it with what is supported; nothing is ever silently ignored',
    exit: 1,
  },
  ERR_WIRE_TOO_LARGE: {
    meaning: 'A message, a line or a header is larger than its limit.',
    hint: 'the message names the limit; a well-behaved client stays far below it',
    exit: 1,
  },
  ERR_WIRE_ROUTE: {
    meaning: 'The authority has no such path, or not with that method.',
    hint: 'check the address: it is the origin alone, such as https://127.0.0.1:8440, without a path',
    exit: 1,
  },
  ERR_WIRE_MEDIA_TYPE: {
    meaning: 'A message came with another content type than the route speaks.',
    hint: 'check that the address is that of a countersign authority and not of something before it',
    exit: 1,
  },
  ERR_WIRE_FEED: {
    meaning: 'The revocation feed broke off, or carried a line that is no feed frame.',
    hint: 'the follower connects again by itself from its last position; look for a proxy in between',
    exit: 3,
  },
  ERR_WIRE_REFUSED: {
    meaning: 'The other side refused a request with a code that this version does not know.',
    hint: 'give the look-up id of the message to the operator of the authority',
    exit: 1,
  },
  ERR_WIRE_UNREACHABLE: {
    meaning: 'The authority could not be reached, or broke off before it had answered.',
    hint: 'check that `countersign ca serve` runs at that address and can be reached from here',
    exit: 3,
  },
  ERR_WIRE_TOKEN: {
    meaning: 'A join token is not written as one.',
    hint: 'copy the whole token that `countersign token create` printed: cst1.<id>.<secret>.<fingerprint>',
    exit: 2,
  },
  ERR_WIRE_FINGERPRINT: {
    meaning: 'A fingerprint is not the SHA-256 of a certificate in hexadecimal.',
    hint: 'copy the 64 hexadecimal digits that `countersign init` printed; colons between bytes are accepted',
    exit: 2,
  },
  ERR_WIRE_XFCC: {
    meaning:
      'An x-forwarded-client-cert header is malformed, or a value cannot be written into one.',
    hint: 'compare it with the grammar in Envoy’s documentation of x-forwarded-client-cert',
    exit: 1,
  },
  ERR_WIRE_CLIENT_CERT: {
    meaning: 'A Client-Cert or Client-Cert-Chain header is not written as RFC 9440 says.',
    hint: 'the value is the base64 DER between two colons; a chain is a list of such, leaf excluded',
    exit: 1,
  },
  ERR_HOP_SIGNATURE: {
    meaning: 'What a hop says of its caller is not signed by it, not for us, or over.',
    hint: 'check that the header comes on the connection of the hop that signed it, and that clocks agree',
    exit: 1,
  },
} as const satisfies CodeFamily;
