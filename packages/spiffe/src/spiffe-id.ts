import { inspect } from 'node:util';
import { CountersignError } from '@countersign/base';

/** Longest SPIFFE ID in bytes (SPIFFE-ID §2.3). */
export const maxSpiffeIdLength = 2048;
/** Longest trust domain name in bytes (SPIFFE-ID §2.3). */
export const maxTrustDomainLength = 255;

const scheme = 'spiffe://';
const minted = Symbol('parsed SPIFFE ID');

/**
 * A parsed SPIFFE ID; {@link parseSpiffeId} is its one factory. There is one spelling of an ID, so that two are equal
 * if and only if their texts are.
 */
export class SpiffeId {
  /** Lowercase name without scheme, such as `example.com`. */
  readonly trustDomain: string;
  /** Empty, or `/` and segments, without a slash at the end. */
  readonly path: string;
  readonly #text: string;

  constructor(evidence: typeof minted, text: string, trustDomain: string) {
    if (evidence !== minted) throw new TypeError('a SpiffeId is made by parseSpiffeId only');
    this.trustDomain = trustDomain;
    this.path = text.slice(scheme.length + trustDomain.length);
    this.#text = text;
  }

  equals(other: SpiffeId | undefined): boolean {
    return other !== undefined && this.#text === other.#text;
  }

  toString(): string {
    return this.#text;
  }

  toJSON(): string {
    return this.#text;
  }

  [inspect.custom](): string {
    return this.#text;
  }
}

/**
 * Reads a SPIFFE ID, with or without a path, strictly: no normalisation, no percent-encoding, no query, fragment,
 * port or user.
 *
 * @throws CountersignError ERR_SPIFFE_ID with what is wrong, and where
 */
export function parseSpiffeId(text: string): SpiffeId {
  const wrong = wrongWithId(text);
  if (wrong !== undefined) {
    throw new CountersignError('ERR_SPIFFE_ID', `SPIFFE ID ${quoted(text)} ${wrong}`, {
      fields: { value: text.slice(0, maxSpiffeIdLength) },
    });
  }
  return new SpiffeId(minted, text, trustDomainPart(text));
}

/** The SPIFFE ID that `text` is, or undefined. */
export function spiffeIdOf(text: string): SpiffeId | undefined {
  if (wrongWithId(text) !== undefined) return undefined;
  return new SpiffeId(minted, text, trustDomainPart(text));
}

/**
 * Reads the name of a trust domain: `example.com`, or `spiffe://example.com` as some configurations write it.
 *
 * @returns the bare name
 * @throws CountersignError ERR_SPIFFE_TRUST_DOMAIN
 */
export function parseTrustDomain(text: string): string {
  const name = text.startsWith(scheme) ? text.slice(scheme.length) : text;
  const wrong = wrongWithTrustDomain(name);
  if (wrong === undefined) return name;
  throw new CountersignError('ERR_SPIFFE_TRUST_DOMAIN', `trust domain ${quoted(name)} ${wrong}`, {
    fields: { value: name.slice(0, maxTrustDomainLength) },
  });
}

function trustDomainPart(text: string): string {
  const slash = text.indexOf('/', scheme.length);
  return text.slice(scheme.length, slash === -1 ? undefined : slash);
}

/** What is wrong, as the end of a sentence that begins with the ID. */
function wrongWithId(text: string): string | undefined {
  if (text === '') return 'is empty';
  // SPIFFE-ID §2.3: implementations support up to 2048 bytes; all characters allowed below are single bytes.
  if (text.length > maxSpiffeIdLength) {
    return `has ${text.length} bytes, at most ${maxSpiffeIdLength} are allowed`;
  }
  // SPIFFE-ID §2: the scheme is "spiffe"; compared exactly, since an ID has one spelling.
  if (!text.startsWith(scheme)) return 'does not begin with "spiffe://"';
  const trustDomain = trustDomainPart(text);
  const wrong = wrongWithTrustDomain(trustDomain);
  if (wrong !== undefined) return `has a trust domain that ${wrong}`;
  const path = text.slice(scheme.length + trustDomain.length);
  return path === '' ? undefined : wrongWithPath(path);
}

// SPIFFE-ID §2.1: lowercase letters, digits, dots, dashes and underscores; so no port, user or percent-encoding.
function wrongWithTrustDomain(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name.length > maxTrustDomainLength) {
    return `has ${name.length} bytes, at most ${maxTrustDomainLength} are allowed`;
  }
  const odd = /[^a-z0-9._-]/.exec(name);
  if (odd === null) return undefined;
  if (/[A-Z]/.test(odd[0])) return `is not lowercase, "${name.toLowerCase()}" would be`;
  return `has ${quoted(odd[0])}, only a-z, 0-9, ".", "-" and "_" are allowed`;
}

// SPIFFE-ID §2.2: segments of letters, digits, dots, dashes and underscores; none empty, "." or ".."; no slash at the end.
function wrongWithPath(path: string): string | undefined {
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') return path.endsWith('/') ? 'ends with "/"' : 'has an empty path segment';
    if (segment === '.' || segment === '..') return `has the path segment "${segment}"`;
    const odd = /[^a-zA-Z0-9._-]/.exec(segment);
    if (odd !== null) {
      return `has ${quoted(odd[0])} in its path, only letters, digits, ".", "-" and "_" are allowed`;
    }
  }
  return undefined;
}

/** In quotes, cut to a length for a message, with control characters escaped. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
