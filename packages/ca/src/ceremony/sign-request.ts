import { hash } from 'node:crypto';
import {
  CountersignError,
  equalBytes,
  errorOfDenial,
  formatDuration,
  fromHex,
  toHex,
} from '@countersign/base';
import {
  type Certificate,
  certificatesFromPem,
  type Extension,
  encodePem,
  formatKeyKind,
  formatName,
  judgeKey,
  oidName,
  oids,
  parseCertificate,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import type { AuthorityCertificateConfig } from '../ca-config.ts';
import type { Draft } from '../draft.ts';
import { lintDraft } from '../linted-draft.ts';
import { signDraft } from '../sign-draft.ts';
import { type CarriedRequest, parseCarriedRequest } from './carried-request.ts';
import {
  appendCeremony,
  type CeremonyEntry,
  type CeremonyRecord,
  type GivenAgain,
  readCeremony,
  recordOf,
} from './ceremony-record.ts';
import { draftByRoot } from './draft-by-root.ts';
import {
  certificateOf,
  type OfflineRoot,
  type OfflineRootOptions,
  openOfflineRoot,
} from './offline-root.ts';

export interface SignRequestOptions extends OfflineRootOptions {
  /** What was carried here, and the name of its file for messages. */
  readonly request: string;
  readonly file: string;
  /** Who takes part. */
  readonly by: readonly string[];
  /** Directory of the other root, where the request is for that one's key. */
  readonly otherRoot?: string | undefined;
}

export interface SignedRequest {
  readonly name: string;
  readonly certificate: Certificate;
  readonly pem: string;
  readonly record: CeremonyRecord;
  /** Whether it was signed before: then it is the same certificate again, and no further signature was made. */
  readonly repeated: boolean;
  /** Who was given it again, and when: kept in the record beside those who signed. */
  readonly again?: GivenAgain;
}

/** Clocks of the two machines may be this far apart. */
const largestSkewMs = 24 * 3_600_000;

/**
 * The offline root signs the certificate of an intermediate, exactly as its own ca.yaml has it: of the request it takes
 * the key, the serial and the dates. Or that of a root: its own, once, or that of the root before or after it, whose key
 * is vouched for by its directory and not by what was carried here.
 *
 * @throws CountersignError ERR_CEREMONY_REQUEST, ERR_CEREMONY_ROOT, ERR_CSR_*, ERR_LINT, ERR_KEY_*, ERR_SIGNER_*
 */
export async function signRequest(options: SignRequestOptions): Promise<SignedRequest> {
  const { file, by, clock } = options;
  const root = await openOfflineRoot(options);
  try {
    // 1. What is asked, and whether it is what this root is to sign.
    const request = parseCarriedRequest(options.request, file);
    const entries = await readCeremony(root.ceremony);
    checkSigner(request, root, { entries, file });
    const act = await judgeRequest(request, root, options);
    const isOwn = act === 'root signed';
    const draft = draftOf(request, isOwn ? undefined : certificateOf(root), root);
    checkAsked(request, draft, file);

    // 2. A serial is used once. One that was signed already is given out again as it is.
    const earlier = earlierOf(entries, request, file);
    if (earlier !== undefined) {
      if (isOwn) await root.take(earlier.certificate);
      const again = { at: new Date(clock.now()).toISOString(), by };
      const serial = earlier.record.serial;
      await appendCeremony(root.ceremony, { kind: 'again', serial, ...again });
      return { ...earlier, name: request.name, repeated: true, again };
    }
    if (isOwn && root.certificate !== undefined) {
      throw refusal(file, `is for a root that has its certificate, in "${root.directory}"`);
    }

    // 3. Lint, intent, signature: the record says so before the key is used.
    const signer = await root.openSigner();
    const linted = lintDraft(draft, signer.algorithm);
    const at = clock.now();
    await appendCeremony(root.ceremony, {
      kind: 'intent',
      at: new Date(at).toISOString(),
      serial: request.serialHex,
      request: identityOf(request),
    });
    const serial = fromHex(request.serialHex) ?? new Uint8Array();
    const der = await signDraft(linted, { serial }, signer);

    // 4. The record of what was done.
    const certificate = parseCertificate(der);
    const { trustDomain } = root.config;
    const facts = { act, by, trustDomain, at, certificate } as const;
    const signed = root.certificate ?? certificate;
    const record = recordOf({ ...facts, root: signed, csr: request.asks.raw });
    const pem = encodePem('CERTIFICATE', der);
    await appendCeremony(root.ceremony, { kind: 'act', record, certificate: pem });
    if (isOwn) await root.take(certificate);
    return { name: request.name, certificate, pem, record, repeated: false };
  } finally {
    await root.close();
  }
}

/** A request that was carried to the wrong one of two roots. */
function checkSigner(
  { name, issuerKey }: CarriedRequest,
  { directory, spki }: OfflineRoot,
  { entries, file }: { readonly entries: readonly CeremonyEntry[]; readonly file: string },
): void {
  const found = keyHashOf(spki);
  // Of an init, which has one root: never for one that follows another, which has signed that serial.
  const isFirst = !entries.some((each) => each.kind === 'key');
  if (issuerKey === found || (issuerKey === undefined && name !== 'root' && isFirst)) return;
  const sides = `the root in "${directory}" has the key "${found}"`;
  const message = `is for the key "${issuerKey ?? 'unnamed'}" to sign, ${sides}`;
  throw refusal(file, message, { wantedKey: issuerKey ?? 'unnamed', foundKey: found });
}

async function judgeRequest(
  request: CarriedRequest,
  root: OfflineRoot,
  options: SignRequestOptions,
): Promise<CeremonyRecord['act']> {
  const { asks, name } = request;
  const { file, clock } = options;
  const isOwnKey = equalBytes(asks.spki.raw, root.spki.raw);
  if (name === 'root') {
    judgeFacts(request, root.config.root, { file, now: clock.now() });
    if (isOwnKey) return 'root signed';
    await checkOtherRoot(request, options);
    return 'root cross-signed';
  }
  const intermediate = root.config.intermediates.find((each) => each.name === name);
  if (intermediate === undefined || intermediate.issuer !== 'root') {
    const signs = root.config.intermediates.filter((each) => each.issuer === 'root');
    const names = signs.map((each) => `"${each.name}"`).join(', ');
    throw refusal(file, `is for "${name}", the root's ca.yaml has it sign ${names}`);
  }
  judgeFacts(request, intermediate, { file, now: clock.now() });
  if (isOwnKey) throw refusal(file, "has the root's own key");
  return 'intermediate signed';
}

/** What was carried here vouches for no root's key: whoever holds this one could be led to any other. */
async function checkOtherRoot(
  { asks }: CarriedRequest,
  options: SignRequestOptions,
): Promise<void> {
  const { file, otherRoot } = options;
  if (otherRoot === undefined) {
    throw refusal(file, "is for another root's key: give that root's directory, --other-root");
  }
  const other = await openOfflineRoot({ ...options, directory: otherRoot });
  await other.close();
  if (equalBytes(other.spki.raw, asks.spki.raw)) return;
  const sides = `the root in "${otherRoot}" has "${keyHashOf(other.spki)}"`;
  throw refusal(file, `has the key "${keyHashOf(asks.spki)}", ${sides}`);
}

function judgeFacts(
  { name, asks, notBefore, notAfter }: CarriedRequest,
  configured: AuthorityCertificateConfig,
  { file, now }: { readonly file: string; readonly now: number },
): void {
  const refuse = (wrong: string) => refusal(file, wrong);
  const key = judgeKey(asks.spki);
  if (!key.ok) throw errorOfDenial(key, `sign "${file}"`);
  const [found, wanted] = [formatKeyKind(key.kind), formatKeyKind(configured.key)];
  if (found !== wanted) throw refuse(`has a key ${found}, ca.yaml has ${wanted} for "${name}"`);
  if (!asks.isPossessed) throw refuse('is not signed by the key that it is for');
  const lasts = notAfter - Math.max(now, notBefore);
  if (notBefore > now + largestSkewMs || notAfter <= now) {
    const span = `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
    throw refuse(`asks for ${span}, it is ${new Date(now).toISOString()} here`);
  }
  if (lasts > configured.validityMs + largestSkewMs) {
    const sides = `${formatDuration(lasts)}, ca.yaml has ${formatDuration(configured.validityMs)}`;
    throw refuse(`asks for ${sides} for "${name}"`);
  }
}

function draftOf(
  { name, asks, notBefore, notAfter }: CarriedRequest,
  issuing: Certificate | undefined,
  { config }: OfflineRoot,
): Draft {
  const { trustDomain } = config;
  return draftByRoot(name, { trustDomain, spki: asks.spki, notBefore, notAfter }, issuing, config);
}

/** The request says what its ca.yaml makes of the intermediate: both sides must mean the same. */
function checkAsked({ asks, name }: CarriedRequest, draft: Draft, file: string): void {
  const [asked, ours] = [formatName(asks.subject), formatName(draft.subject)];
  if (asked !== ours) {
    throw refusal(file, `is of subject "${asked}", the root's ca.yaml has "${ours}" for "${name}"`);
  }
  // Of a root the other side says no more than its key; what comes back is compared there.
  if (name === 'root' || asks.extensions === undefined) return;
  const differing = differenceOf(asks.extensions, carriedExtensions(draft));
  if (differing === undefined) return;
  throw refusal(file, `and the root's ca.yaml differ in ${oidName(differing)} of "${name}"`);
}

/** What a request for an intermediate says about it; what the issuer decides is left out. */
export function carriedExtensions({ extensions }: Draft): readonly Extension[] {
  const issuers: readonly string[] = [oids.authorityKeyIdentifier, oids.subjectKeyIdentifier];
  return extensions.filter(({ oid }) => !issuers.includes(oid));
}

function differenceOf(asked: readonly Extension[], ours: readonly Extension[]): string | undefined {
  const text = (each: Extension | undefined) => each && `${each.critical} ${toHex(each.value)}`;
  const oidsOfBoth = [...asked, ...ours].map(({ oid }) => oid);
  return oidsOfBoth.find(
    (oid) =>
      text(asked.find((each) => each.oid === oid)) !== text(ours.find((each) => each.oid === oid)),
  );
}

function earlierOf(
  entries: readonly CeremonyEntry[],
  request: CarriedRequest,
  file: string,
): Pick<SignedRequest, 'certificate' | 'pem' | 'record'> | undefined {
  const { serialHex } = request;
  const other = entries.find(
    (each) =>
      each.kind === 'intent' && each.serial === serialHex && each.request !== identityOf(request),
  );
  if (other !== undefined) {
    throw refusal(file, `has serial "${serialHex}", which another request had before`);
  }
  // An intent without an act: nobody was given its certificate, and another would be the same but for its signature.
  const act = entries.find((each) => each.kind === 'act' && each.record.serial === serialHex);
  if (act?.kind !== 'act') return undefined;
  const [certificate] = certificatesFromPem(act.certificate);
  if (certificate === undefined) throw refusal(file, 'is in the record without its certificate');
  return { certificate, pem: act.certificate, record: act.record };
}

/** Of everything that a request decides in its certificate. */
function identityOf({ name, serialHex, notBefore, notAfter, asks }: CarriedRequest): string {
  return hash('sha256', `${name} ${serialHex} ${notBefore} ${notAfter} ${toHex(asks.raw)}`);
}

function keyHashOf({ raw }: SubjectPublicKeyInfo): string {
  return hash('sha256', raw);
}

function refusal(file: string, wrong: string, fields: object = {}): CountersignError {
  return new CountersignError('ERR_CEREMONY_REQUEST', `carried request "${file}" ${wrong}`, {
    fields: { file, ...fields },
  });
}
