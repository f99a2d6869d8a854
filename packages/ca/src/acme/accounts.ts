import type { AcmeContext } from './acme-context.ts';
import { orderedId } from './acme-ids.ts';
import type { Account, Order } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';
import type { AcmeAnswer, AcmeLinks, AcmeRequest } from './acme-request.ts';
import { creating, forever, replacing } from './acme-store.ts';
import { externalBinding } from './external-account.ts';
import { isRecord, jsonOf, readJwk, readJws, verifyJws } from './jose.ts';

type Answer = Promise<AcmeAnswer | AcmeProblem>;

/** RFC 8555 §7.3: finds the key's account, or makes one. */
export async function newAccount(context: AcmeContext, request: AcmeRequest): Answer {
  const { store, config, clock } = context;
  const key = keyOf(request);
  const payload = request.payload ?? {};

  // 1. A key has one account; asking again finds it.
  const known = await store.find('acme-key', key.thumbprint);
  if (known !== undefined) {
    const { value } = await store.mustFind('acme-account', known.value.account);
    if (value.status === 'valid') return answerAccount(value, request.links, 200);
    return problem('unauthorized', `the account of this key is ${value.status}`);
  }
  // RFC 8555 §7.3.1
  if (payload.onlyReturnExisting === true) {
    return problem('accountDoesNotExist', 'this key has no account');
  }

  // 2. What a new one must bring.
  const contact = contactOf(payload.contact);
  if (!Array.isArray(contact)) return contact as AcmeProblem;
  const mustAgree = config.termsOfService !== undefined;
  if (mustAgree && payload.termsOfServiceAgreed !== true) {
    return problem(
      'userActionRequired',
      `the terms of service must be agreed to: ${config.termsOfService}`,
      {
        status: 403,
      },
    );
  }
  const bound = await externalBinding(config, request, payload.externalAccountBinding);
  if (!bound.ok) return bound;
  const wait = context.accounts.take(request.from);
  if (wait !== undefined) {
    const sides = `${config.limits.accountsPerHour} new accounts an hour are made for one address`;
    return problem('rateLimited', sides, { headers: { 'retry-after': String(wait) } });
  }

  // 3. Both at once, so that two requests with one key make one account.
  const account: Account = {
    id: orderedId(clock.now()),
    key: key.jwk,
    thumbprint: key.thumbprint,
    status: 'valid',
    contact,
    termsAgreed: payload.termsOfServiceAgreed === true,
    external: bound.external,
    createdAt: clock.now(),
  };
  const made = await store.change(
    creating('acme-account', account.id, account, { expiresAt: forever }),
    creating('acme-key', key.thumbprint, { account: account.id }, { expiresAt: forever }),
  );
  if (!made) return newAccount(context, request);
  context.log.info(
    { account: account.id, from: request.from, external: bound.external?.kid },
    'acme account made',
  );
  return answerAccount(account, request.links, 201);
}

/** RFC 8555 §7.3.2, §7.3.6: reads, changes or deactivates. */
export async function account(context: AcmeContext, request: AcmeRequest): Answer {
  const own = ownAccount(request);
  if (!own.ok) return own;
  const { payload, links } = request;
  if (payload === undefined) return answerAccount(own.account, links, 200);
  const { status } = payload;
  if (status !== undefined && status !== 'deactivated' && status !== own.account.status) {
    return problem(
      'malformed',
      `"status" may become "deactivated", not "${String(status).slice(0, 40)}"`,
    );
  }
  const contact = payload.contact === undefined ? own.account.contact : contactOf(payload.contact);
  if (!Array.isArray(contact)) return contact as AcmeProblem;
  const changed = await context.store.update(
    'acme-account',
    own.account.id,
    (present) => ({
      ...present,
      contact,
      status: status === 'deactivated' ? 'deactivated' : present.status,
    }),
    () => forever,
  );
  if (status === 'deactivated')
    context.log.info({ account: changed.id }, 'acme account deactivated');
  return answerAccount(changed, links, 200);
}

/** RFC 8555 §7.3.5: the new key signs that it takes the old one's place, and the old one signs that. */
export async function keyChange(context: AcmeContext, request: AcmeRequest): Answer {
  const { store } = context;
  const own = accountOf(request);
  const inner = readJws(request.payload);
  if (!inner.ok) return inner;
  const { header } = inner;
  if (header.jwk === undefined) return problem('malformed', 'the inner JWS needs "jwk"');
  const read = readJwk(header.jwk);
  if (!read.ok) return read;
  const verified = verifyJws(inner, read.key.key);
  if (!verified.ok) return verified;
  if (header.nonce !== undefined) return problem('malformed', 'the inner JWS must have no "nonce"');
  if (header.url !== request.jws.header.url) {
    return problem('malformed', 'the inner "url" is not that of the outer JWS');
  }
  const said = jsonOf(inner.payload);
  if (!isRecord(said)) return problem('malformed', 'the inner payload is no JSON object');
  if (said.account !== request.jws.header.kid) {
    return problem('malformed', '"account" of the inner payload is not the "kid" of the outer JWS');
  }
  const old = readJwk(said.oldKey);
  if (!old.ok || old.key.thumbprint !== own.thumbprint) {
    return problem('malformed', '"oldKey" of the inner payload is not the key of the account');
  }
  const { thumbprint, jwk } = read.key;
  const taken = await store.find('acme-key', thumbprint);
  if (taken !== undefined) return keyInUse(request.links, taken.value.account);

  const [present, index] = await Promise.all([
    store.mustFind('acme-account', own.id),
    store.mustFind('acme-key', own.thumbprint),
  ]);
  const next: Account = { ...present.value, key: jwk, thumbprint };
  const changed = await store.change(
    replacing('acme-account', own.id, next, present.version, forever),
    {
      kind: 'acme-key',
      id: own.thumbprint,
      replaces: index.version,
      expiresAt: 0,
      body: undefined,
    },
    creating('acme-key', thumbprint, { account: own.id }, { expiresAt: forever }),
  );
  if (!changed) {
    const faster = await store.find('acme-key', thumbprint);
    if (faster !== undefined) return keyInUse(request.links, faster.value.account);
    return problem(
      'serverInternal',
      'the account was changed by another request at the same time',
      { status: 503 },
    );
  }
  context.log.info({ account: own.id }, 'acme account has another key');
  return answerAccount(next, request.links, 200);
}

/** RFC 8555 §7.1.2.1: in pages, linked by `next`. */
export async function ordersList(context: AcmeContext, request: AcmeRequest): Answer {
  const own = ownAccount(request);
  if (!own.ok) return own;
  const url = new URL(request.jws.header.url);
  const after = url.searchParams.get('cursor') ?? '';
  const limit = context.config.ordersPerPage;
  const found = await context.store.of('acme-order', own.account.id, { after, limit: limit + 1 });
  const page = found.slice(0, limit);
  const last = page.at(-1)?.value.id;
  const { links } = request;
  const now = context.clock.now();
  const isListed = ({ status, expiresAt }: Order) => status !== 'invalid' && expiresAt > now;
  return {
    ok: true,
    status: 200,
    body: {
      orders: page.filter((each) => isListed(each.value)).map((each) => links.order(each.value.id)),
    },
    ...(found.length > limit && { link: [`<${links.orders(own.account.id, last)}>;rel="next"`] }),
  };
}

/** Of a request that only an account can have signed. */
export function accountOf({ signer }: AcmeRequest): Account {
  if (signer.kind === 'account') return signer.account;
  throw new TypeError('a request that wants an account was signed by a key alone');
}

function keyOf({ signer }: AcmeRequest) {
  if (signer.kind === 'key') return signer.key;
  throw new TypeError('a request that wants a key was signed by an account');
}

/** The account of the path must be the one that signed. */
function ownAccount(
  request: AcmeRequest,
): { readonly ok: true; readonly account: Account } | AcmeProblem {
  const account = accountOf(request);
  if (request.names[0] === account.id) return { ok: true, account };
  return problem('unauthorized', 'the account is not the one that signed');
}

function answerAccount(account: Account, links: AcmeLinks, status: number): AcmeAnswer {
  return {
    ok: true,
    status,
    headers: { location: links.account(account.id) },
    body: {
      status: account.status,
      contact: account.contact,
      ...(account.termsAgreed && { termsOfServiceAgreed: true }),
      ...(account.external !== undefined && { externalAccountBinding: account.external.binding }),
      key: account.key,
      orders: links.orders(account.id),
    },
  };
}

/** RFC 8555 §7.3.5: 409 with the address of the account that has the key. */
function keyInUse(links: AcmeLinks, account: string): AcmeProblem {
  const headers = { location: links.account(account) };
  return problem('malformed', 'the new key has an account already', { status: 409, headers });
}

/** RFC 8555 §7.3: mailto with one address and no headers; other schemes are not understood here. */
function contactOf(written: unknown): string[] | AcmeProblem {
  if (written === undefined) return [];
  if (!Array.isArray(written) || written.some((each) => typeof each !== 'string')) {
    return problem('malformed', '"contact" is a list of addresses');
  }
  if (written.length > 10)
    return problem('invalidContact', `${written.length} contacts, at most 10 are kept`);
  for (const each of written as string[]) {
    const shown = each.slice(0, 100);
    if (!each.startsWith('mailto:')) {
      return problem('unsupportedContact', `contact "${shown}" is no "mailto:" address`);
    }
    if (!/^mailto:[^\s@,?;<>"]{1,64}@[A-Za-z0-9.-]{1,253}$/.test(each)) {
      return problem(
        'invalidContact',
        `contact "${shown}" is not one address without further fields`,
      );
    }
  }
  return written as string[];
}
