import { type Denial, denial } from '@countersign/base';
import type { TokenRule } from '../policy/request-authentication.ts';
import { headerLines, type RawHeaders } from '../request/header-lines.ts';

/** Of a request what tokens are looked for in. */
export interface TokenCarrier {
  /** Names and values alternating. */
  readonly rawHeaders: RawHeaders;
  /** With its question mark; empty where there is none. */
  readonly query: string;
}

/** Where tokens of a rule are, names of headers in lowercase. */
export type TokenPlace =
  | { readonly kind: 'header'; readonly name: string; readonly prefix: string }
  | { readonly kind: 'param' | 'cookie'; readonly name: string };

export interface FoundToken {
  readonly place: TokenPlace;
  readonly text: string;
}

/** Envoy's own, where a rule names none (RFC 6750 §2.1, §2.3). */
const usualPlaces: readonly TokenPlace[] = [
  { kind: 'header', name: 'authorization', prefix: 'Bearer ' },
  { kind: 'param', name: 'access_token' },
];

export function placesOf(rule: TokenRule): readonly TokenPlace[] {
  const places: TokenPlace[] = [
    ...rule.fromHeaders.map(({ name, prefix }) => {
      return { kind: 'header', name: name.toLowerCase(), prefix } as const;
    }),
    ...rule.fromParams.map((name) => ({ kind: 'param', name }) as const),
    ...rule.fromCookies.map((name) => ({ kind: 'cookie', name }) as const),
  ];
  return places.length === 0 ? usualPlaces : places;
}

/**
 * Every token at these places. One place has one token: of two, an upstream might read the other.
 *
 * Denials: ERR_JWT_FORM.
 */
export function findTokens(
  places: readonly TokenPlace[],
  carrier: TokenCarrier,
): readonly FoundToken[] | Denial {
  const found: FoundToken[] = [];
  for (const place of places) {
    const texts = readers[place.kind](place, carrier);
    if (texts.length > 1) {
      const detail = `${texts.length} tokens in ${place.kind} "${place.name}", expected one`;
      return denial('ERR_JWT_FORM', detail);
    }
    const [text] = texts;
    if (text !== undefined) found.push({ place, text });
  }
  return found;
}

/** The same request without these tokens. */
export function withoutTokens(
  { rawHeaders, query }: TokenCarrier,
  places: readonly TokenPlace[],
): TokenCarrier {
  const namesOf = (kind: TokenPlace['kind']) =>
    new Set(places.filter((place) => place.kind === kind).map(({ name }) => name));
  const [inHeaders, inParams, inCookies] = [namesOf('header'), namesOf('param'), namesOf('cookie')];
  const left: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i], rawHeaders[i + 1]];
    const plain = name.toLowerCase();
    if (inHeaders.has(plain)) continue;
    if (plain !== 'cookie' || inCookies.size === 0) {
      left.push(name, value);
      continue;
    }
    const cookies = pairsOf(value, ';').filter(([key]) => !inCookies.has(key));
    if (cookies.length > 0) left.push(name, cookies.map(([, , pair]) => pair).join('; '));
  }
  if (inParams.size === 0) return { rawHeaders: left, query };
  const params = pairsOf(query.slice(1), '&').filter(([key]) => !inParams.has(decoded(key)));
  const rest = params.map(([, , pair]) => pair).join('&');
  return { rawHeaders: left, query: rest === '' ? '' : `?${rest}` };
}

const readers: {
  readonly [K in TokenPlace['kind']]: (
    place: TokenPlace,
    carrier: TokenCarrier,
  ) => readonly string[];
} = {
  header(place, { rawHeaders }) {
    const prefix = place.kind === 'header' ? place.prefix : '';
    return headerLines(rawHeaders, place.name).flatMap((line) => {
      if (prefix === '') return [line];
      // As Envoy: the prefix anywhere, and then what a token can have.
      const at = line.indexOf(prefix);
      if (at === -1) return [];
      const after = line.slice(at + prefix.length);
      return [/[A-Za-z0-9._-]+/.exec(after)?.[0] ?? after];
    });
  },
  param({ name }, { query }) {
    const pairs = pairsOf(query.slice(1), '&').filter(([key]) => decoded(key) === name);
    return pairs.map(([, value]) => decoded(value));
  },
  cookie({ name }, { rawHeaders }) {
    const lines = headerLines(rawHeaders, 'cookie');
    const pairs = lines.flatMap((line) => pairsOf(line, ';')).filter(([key]) => key === name);
    return pairs.map(([, value]) => value.replace(/^"(.*)"$/, '$1'));
  },
};

type Pair = readonly [key: string, value: string, written: string];

function pairsOf(text: string, separator: '&' | ';'): readonly Pair[] {
  return text.split(separator).flatMap((each): Pair[] => {
    const written = each.trim();
    if (written === '') return [];
    const at = written.indexOf('=');
    return at === -1
      ? [[written, '', written]]
      : [[written.slice(0, at), written.slice(at + 1), written]];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // What is no encoding is what it says.
    return text;
  }
}
