import { hash } from 'node:crypto';
import { CountersignError, type Denial, messageOf, toHex } from '@countersign/base';
import { readRequest } from '../issue.ts';
import { accountOf } from './accounts.ts';
import type { AcmeContext, AcmeIssued } from './acme-context.ts';
import type { AcmeCertificate, Identifier, Order } from './acme-objects.ts';
import { type AcmeProblem, type KeptProblem, problem } from './acme-problem.ts';
import type { AcmeAnswer, AcmeRequest } from './acme-request.ts';
import { creating, type Kept, keptAfterEndMs, replacing } from './acme-store.ts';
import { wrongWithAttestedKey } from './device/attested-key.ts';
import { provisionerOf } from './external-account.ts';
import { fromBase64Url, thumbprintOfSpki } from './jose.ts';
import { answerOrder, type FoundOrder, findOrder, spiffeIdOf, statusOf } from './order-view.ts';
import { serialOf } from './renewal-info.ts';
import { wrongWithNames } from './request-names.ts';
import { wishedValidity } from './requested-validity.ts';

/** Who was let in at once need not be looked at again. */
const momentMs = 1;
/** For so long another process leaves an order to the one that began to issue. */
const leaseMs = 60_000;

/**
 * RFC 8555 §7.4: a request for the certificate of an order whose identifiers are all proved. It is issued before the
 * answer, by the one flow; a process that dies amid it leaves the order `processing`, and whoever is asked for it next
 * goes on: it finds what was issued, or issues.
 */
export async function finalize(
  context: AcmeContext,
  request: AcmeRequest,
): Promise<AcmeAnswer | AcmeProblem> {
  const found = await findOrder(context, request);
  if (!found.ok) return found;

  // 1. RFC 8555 §7.4: an order that is ready, whatever is asked for; who has proved no names takes no place from others.
  const early = wrongWithOrder(found, context.clock.now());
  if (early !== undefined) return early;

  // 2. The request for exactly the order's names.
  const csr = fromBase64Url(request.payload?.csr);
  if (csr === undefined)
    return problem('malformed', '"csr" is PKCS #10 in base64url without padding');
  const read = readRequest(csr);
  if (!read.ok) {
    return problem('badCSR', 'the request cannot be read, or its signature is not by its key', {
      operator: { code: read.code, detail: read.detail },
    });
  }
  const wrong = wrongWithNames(read.csr, found.order.identifiers, context.authority.otherNames);
  if (wrong !== undefined) return problem('badCSR', wrong);
  const foreign = wrongWithAttestedKey(read.csr, found.authorizations);
  if (foreign !== undefined) return problem('badCSR', foreign);
  if (thumbprintOfSpki(read.csr.spki.raw) === accountOf(request).thumbprint) {
    // RFC 8555 §11.1: an account's key is for nothing else
    return problem('badCSR', 'the key of the request is the key of the account');
  }

  // 3. In its turn; who would wait too long comes again, and the order stays as it is.
  const account = `acme:${accountOf(request).id}`;
  const order = { key: `${account}/${found.order.id}`, holder: account };
  const since = context.clock.monotonic();
  const answer = await context.line.serve(order, async () => {
    const hasWaited = context.clock.monotonic() - since > momentMs;
    const present = hasWaited ? await stillHeld(context, request) : found;
    return present.ok ? await issueInTurn(context, request, present, csr) : present;
  });
  return answer.ok || 'more' in answer ? answer : tooBusy(answer);
}

function wrongWithOrder(found: FoundOrder, now: number): AcmeProblem | undefined {
  const status = statusOf(found, now);
  if (status === 'ready') return undefined;
  return problem('orderNotReady', `the order is ${status}, it must be ready`);
}

/** RFC 8555 §7.3.6, §7.5.2: the account and what it has proved may have been deactivated while its order was in line. */
async function stillHeld(
  context: AcmeContext,
  request: AcmeRequest,
): Promise<FoundOrder | AcmeProblem> {
  const { value: account } = await context.store.mustFind('acme-account', accountOf(request).id);
  if (account.status === 'valid') return await findOrder(context, request);
  return problem('unauthorized', `the account is ${account.status}`);
}

/** As Let's Encrypt says it. */
function tooBusy({ code, detail, fields }: Denial): AcmeProblem {
  return problem('rateLimited', 'more orders than can be worked off, finalise again later', {
    status: 503,
    headers: { 'retry-after': String(fields?.retryAfterS ?? 1) },
    operator: { code, detail },
  });
}

async function issueInTurn(
  context: AcmeContext,
  request: AcmeRequest,
  found: FoundOrder,
  csr: Uint8Array,
): Promise<AcmeAnswer | AcmeProblem> {
  const { store, clock } = context;
  // 1. An order that is ready, and nobody else's work.
  const wrong = wrongWithOrder(found, clock.now());
  if (wrong !== undefined) return wrong;
  const working: Order = {
    ...found.order,
    status: 'processing',
    csr: Buffer.from(csr).toString('base64url'),
    workingUntil: clock.now() + leaseMs,
  };
  const { version, authorizations } = found;
  const taken = await store.change(
    replacing('acme-order', working.id, working, version, endOf(working)),
  );
  if (!taken) return problem('orderNotReady', 'the order is being finalised by another request');

  // 2. Issued, and kept with the order.
  const ended = await issueFor(context, { value: working, version: version + 1 });
  if (!ended.ok) return ended;
  return answerOrder(context, { order: ended.order, authorizations }, request.links, 200);
}

/** Goes on with an order whose process seems to have died; what is answered is how it stands. */
export async function resumeOrder(context: AcmeContext, order: Order): Promise<Order> {
  const { store, clock } = context;
  if (order.status !== 'processing' || (order.workingUntil ?? 0) > clock.now()) return order;
  const present = await store.mustFind('acme-order', order.id);
  const working: Order = { ...present.value, workingUntil: clock.now() + leaseMs };
  const isStill =
    present.value.status === 'processing' && present.value.workingUntil === order.workingUntil;
  const taken =
    isStill &&
    (await store.change(
      replacing('acme-order', order.id, working, present.version, endOf(working)),
    ));
  if (!taken) return present.value;
  const ended = await issueFor(context, { value: working, version: present.version + 1 });
  return ended.ok ? ended.order : (await store.mustFind('acme-order', order.id)).value;
}

/** `taken` is processed by this process, and by no other. */
async function issueFor(
  context: AcmeContext,
  taken: Kept<Order>,
): Promise<{ readonly ok: true; readonly order: Order } | AcmeProblem> {
  const { authority, log } = context;
  const order = taken.value;
  const csr = Buffer.from(order.csr ?? '', 'base64url');
  const evidence = `acme order ${order.id}`;
  try {
    const read = readRequest(csr);
    const earlier = read.ok
      ? await authority.issuedFor(toHex(hash('sha256', read.csr.spki.raw, 'buffer')), evidence)
      : undefined;
    const issued =
      earlier ?? (await authority.issue({ ...(await askedFor(context, order)), csr, evidence }));
    if (issued.ok) return { ok: true, order: await keep(context, taken, issued) };
    // Refused by the policy after all, as for a key that is weak: the order is over (RFC 8555 §7.4).
    const operator = { code: issued.code, detail: issued.detail };
    const refused = problem('badCSR', 'the policy does not sign this request', { operator });
    await end(context, taken, { type: refused.type, detail: refused.detail });
    return refused;
  } catch (thrown) {
    // Nothing is known to be issued: the order stays for another try, of whoever asks next.
    const code = thrown instanceof CountersignError ? thrown.code : 'ERR_INTERNAL';
    log.error({ order: order.id, code, error: messageOf(thrown) }, 'acme order not issued');
    const again: Order = { ...order, workingUntil: undefined, status: 'pending', csr: undefined };
    await context.store
      .change(replacing('acme-order', order.id, again, taken.version, endOf(again)))
      .catch(() => {});
    throw thrown;
  }
}

async function askedFor(context: AcmeContext, order: Order) {
  const { config, store, clock } = context;
  const { value: account } = await store.mustFind('acme-account', order.account);
  const profile = config.profiles.find((each) => each.name === order.profile);
  const wished = wishedValidity(order, clock.now());
  return {
    provisioner: provisionerOf(config, account),
    caller: `acme:${account.id}`,
    identifiers: order.identifiers,
    profile: profile?.profile,
    spiffeId: spiffeIdOf(profile, order.identifiers),
    commonName: profile?.commonName === true ? commonNameOf(order.identifiers) : undefined,
    beginsAt: wished.beginsAt,
    lifetimeMs: wished.lifetimeMs ?? profile?.lifetimeMs,
    replaces: order.replaces === undefined ? undefined : serialOf(order.replaces),
  };
}

/** The first DNS name, or else the first address. */
function commonNameOf(identifiers: readonly Identifier[]): string | undefined {
  return (identifiers.find(({ type }) => type === 'dns') ?? identifiers[0])?.value;
}

async function keep(context: AcmeContext, taken: Kept<Order>, issued: AcmeIssued): Promise<Order> {
  const { value: order, version } = taken;
  const { serialHex, notBefore, notAfter } = issued;
  const done: Order = {
    ...order,
    status: 'valid',
    csr: undefined,
    workingUntil: undefined,
    certificate: serialHex,
  };
  const certificate: AcmeCertificate = {
    serialHex,
    account: order.account,
    order: order.id,
    chain: issued.chain.map((each) => Buffer.from(each).toString('base64')),
    notBefore,
    notAfter,
  };
  const expiresAt = notAfter + keptAfterEndMs;
  const kept = await context.store.change(
    replacing('acme-order', order.id, done, version, Math.max(endOf(done), expiresAt)),
    creating('acme-certificate', serialHex, certificate, { owner: order.account, expiresAt }),
  );
  if (kept) return done;
  return (await context.store.mustFind('acme-order', order.id)).value;
}

async function end(context: AcmeContext, taken: Kept<Order>, error: KeptProblem): Promise<void> {
  const order: Order = {
    ...taken.value,
    status: 'invalid',
    csr: undefined,
    workingUntil: undefined,
    error,
  };
  await context.store.change(replacing('acme-order', order.id, order, taken.version, endOf(order)));
}

function endOf({ expiresAt }: Order): number {
  return expiresAt + keptAfterEndMs;
}
