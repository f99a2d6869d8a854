import {
  type Certificate,
  encodePem,
  formatIpAddress,
  parseCertificate,
  revocationReasons,
} from '@countersign/x509';
import { accountOf } from './accounts.ts';
import type { AcmeContext } from './acme-context.ts';
import type { AcmeCertificate } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';
import type { AcmeAnswer, AcmeRequest } from './acme-request.ts';
import { fromBase64Url, thumbprintOfSpki } from './jose.ts';

type Answer = Promise<AcmeAnswer | AcmeProblem>;

/** RFC 8555 §7.4.2, §9.1: the chain as PEM, leaf first, and the addresses of others. */
export async function certificate(context: AcmeContext, request: AcmeRequest): Answer {
  const [serialHex = '', alternate = '0'] = request.names;
  const found = await context.store.find('acme-certificate', serialHex);
  if (found === undefined) return problem('malformed', 'no such certificate', { status: 404 });
  if (found.value.account !== accountOf(request).id) {
    return problem('unauthorized', 'the certificate is of another account');
  }
  const chains = chainsOf(context, found.value);
  const chain = chains[Number(alternate)];
  if (chain === undefined) return problem('malformed', 'no such chain', { status: 404 });
  const others = chains.flatMap((_, i) => (i === Number(alternate) ? [] : [i]));
  return {
    ok: true,
    status: 200,
    body: {
      type: 'application/pem-certificate-chain',
      text: chain.map((each) => encodePem('CERTIFICATE', each)).join(''),
    },
    link: others.map((i) => `<${request.links.certificate(serialHex, i)}>;rel="alternate"`),
  };
}

/** RFC 8555 §7.6: by the account that ordered it, by one that has proved all its names, or by its own key. */
export async function revokeCertificate(context: AcmeContext, request: AcmeRequest): Answer {
  const { authority } = context;
  const der = fromBase64Url(request.payload?.certificate);
  if (der === undefined)
    return problem('malformed', '"certificate" is DER in base64url without padding');
  const leaf = readCertificate(der);
  if (leaf === undefined) return problem('malformed', 'the certificate cannot be read');
  const reason = request.payload?.reason ?? 0;
  // RFC 5280 §5.3.1: 7 is unused; a hold and its end are the operator's
  const isReason =
    typeof reason === 'number' && (Object.values(revocationReasons) as number[]).includes(reason);
  if (!isReason || reason === 6 || reason === 8) {
    return problem('badRevocationReason', `reason ${String(reason).slice(0, 20)} is not taken`);
  }
  const known = await authority.certificate(leaf.serialHex);
  if (known === undefined || !Buffer.from(known.der).equals(Buffer.from(der))) {
    return problem('unauthorized', 'the certificate was not issued here', { status: 404 });
  }
  const allowed = await mayRevoke(context, request, leaf);
  if (!allowed.ok) return allowed;
  if (await authority.isRevoked(leaf.serialHex)) {
    return problem('alreadyRevoked', 'the certificate is revoked already');
  }
  const revoked = await authority.revoke({
    serialHex: leaf.serialHex,
    reason,
    evidence: allowed.evidence,
  });
  if (!revoked.ok) {
    const operator = { code: revoked.code, detail: revoked.detail };
    return problem('badRevocationReason', 'the authority does not revoke it so', { operator });
  }
  return { ok: true, status: 200 };
}

async function mayRevoke(
  context: AcmeContext,
  { signer }: AcmeRequest,
  leaf: Certificate,
): Promise<{ readonly ok: true; readonly evidence: string } | AcmeProblem> {
  if (signer.kind === 'key') {
    const own = thumbprintOfSpki(leaf.spki.raw);
    if (own === signer.key.thumbprint) return { ok: true, evidence: `key ${own}` };
    return problem(
      'unauthorized',
      'the request is signed by another key than that of the certificate',
    );
  }
  const { account } = signer;
  const evidence = `acme:${account.id}`;
  const kept = await context.store.find('acme-certificate', leaf.serialHex);
  if (kept?.value.account === account.id) return { ok: true, evidence };
  const isProved = await provesAll(context, account.id, leaf);
  if (isProved) return { ok: true, evidence };
  return problem(
    'unauthorized',
    'the account neither ordered the certificate nor holds authorizations of all its names',
  );
}

async function provesAll(
  context: AcmeContext,
  account: string,
  leaf: Certificate,
): Promise<boolean> {
  const { store, clock } = context;
  const names = leaf.subjectAltNames.flatMap((each) => {
    if (each.kind === 'dns') return [`dns:${each.value}`];
    return each.kind === 'ip' ? [`ip:${formatIpAddress(each.bytes)}`] : [];
  });
  if (names.length === 0) return false;
  const now = clock.now();
  for (const name of names) {
    const found = await store.of('acme-authorization', `${account} ${name}`, { limit: 100 });
    if (!found.some(({ value }) => value.status === 'valid' && value.expiresAt > now)) return false;
  }
  return true;
}

function chainsOf(
  { authority }: AcmeContext,
  { chain }: AcmeCertificate,
): readonly (readonly Uint8Array[])[] {
  return authority.chains(chain.map((each) => Buffer.from(each, 'base64')));
}

function readCertificate(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch {
    return undefined;
  }
}
