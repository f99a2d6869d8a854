/** A host name in lowercase; where a wildcard stands in front, `parent` is what follows it. */
export interface HostPattern {
  readonly host: string;
  /** What follows `*.`, undefined where there is no wildcard. */
  readonly parent: string | undefined;
}

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const hostSyntax = new RegExp(`^${label}(?:\\.${label})*$`);
const strictLabel = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const preferredSyntax = new RegExp(`^${strictLabel}(?:\\.${strictLabel})*$`);
const ipv4Syntax = /^\d+(?:\.\d+){3}$/;
const longestHost = 253;

/** A host name as found in the wild: underscores pass, since comparing such names is safe. */
export function parseHost(text: string): string | undefined {
  const host = text.toLowerCase();
  return host.length <= longestHost && hostSyntax.test(host) ? host : undefined;
}

/** A host name, or one with a whole wildcard label leftmost. */
export function parseHostPattern(text: string): HostPattern | undefined {
  if (!text.startsWith('*.')) {
    const host = parseHost(text);
    return host === undefined ? undefined : { host, parent: undefined };
  }
  const parent = parseHost(text.slice(2));
  return parent === undefined ? undefined : { host: `*.${parent}`, parent };
}

/**
 * RFC 5280 §4.2.1.6: the preferred name syntax, RFC 1034 §3.5 with RFC 1123 §2.1: no underscore,
 * and no address either, as its last label would be a number.
 */
export function isPreferredHost(lowercase: string): boolean {
  return (
    lowercase.length <= longestHost &&
    preferredSyntax.test(lowercase) &&
    !/(?:^|\.)\d+$/.test(lowercase)
  );
}

export interface Mailbox {
  /** Letter for letter. */
  readonly local: string;
  /** Lowercase. */
  readonly host: string;
}

/** `local@host`; an unquoted local part has no further @. */
export function parseMailbox(text: string): Mailbox | undefined {
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(0, at));
  const quoted = local.length > 2 && local.startsWith('"') && local.endsWith('"');
  if (local === '' || local.length > 64 || (!quoted && /[@\s"(),:;<>[\\\]]/.test(local))) {
    return undefined;
  }
  const host = parseHost(text.slice(at + 1));
  return host === undefined ? undefined : { local, host };
}

// RFC 3986 §3.2: nothing but user information, a host and a port, so that all readers find the same
// host
const authoritySyntax =
  /^[a-z][a-z0-9+.-]*:\/\/(?:[\w.~!$&'()*+,;=:%-]*@)?([\w.-]*)(?::\d*)?(?:[/?#]|$)/i;

/**
 * The host of a URI's authority in lowercase, or undefined where there is none or it is an IP
 * address.
 */
export function hostOfUri(text: string): string | undefined {
  const host = parseHost(authoritySyntax.exec(text)?.[1] ?? '');
  return host === undefined || ipv4Syntax.test(host) ? undefined : host;
}
