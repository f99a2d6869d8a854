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
  verifyPossession,
} from '@countersign/x509';
import type { IntermediateConfig } from '../ca-config.ts';
import type { Draft } from '../draft.ts';
import { draftBelow } from '../hierarchy.ts';
import { lintDraft } from '../linted-draft.ts';
import { signDraft } from '../sign-draft.ts';
import { type CarriedRequest, parseCarriedRequest } from './carried-request.ts';
import {
  appendCeremony,
  type CeremonyEntry,
  type CeremonyRecord,
  readCeremony,
  recordOf,
} from './ceremony-record.ts';
import { type OfflineRoot, type OfflineRootOptions, openOfflineRoot } from './offline-root.ts';

export interface SignRequestOptions extends OfflineRootOptions {
  /** What was carried here, and the name of its file for messages. */
  readonly request: string;
  readonly file: string;
  /** Who takes part. */
  readonly by: readonly string[];
}

export interface SignedRequest {
  readonly name: string;
  readonly certificate: Certificate;
  readonly pem: string;
  readonly record: CeremonyRecord;
  /** Whether it was signed before: then it is the same certificate again, and no further signature was made. */
  readonly repeated: boolean;
}

/** Clocks of the two machines may be this far apart. */
const largestSkewMs = 24 * 3_600_000;

/**
 * The offline root signs the certificate of an intermediate, exactly as its own ca.yaml has it: of the request it takes
 * the key, the serial and the dates.
 *
 * @throws CountersignError ERR_CEREMONY_REQUEST, ERR_CEREMONY_ROOT, ERR_CSR_*, ERR_LINT, ERR_KEY_*, ERR_SIGNER_*
 */
export async function signRequest(options: SignRequestOptions): Promise<SignedRequest> {
  const { file, by, clock } = options;
  const root = await openOfflineRoot(options);
  try {
    // 1. What is asked, and whether it is what this root is to sign.
    const request = parseCarriedRequest(options.request, file);
    const intermediate = judgeRequest(request, root, { file, now: clock.now() });
    const draft = draftOf(request, intermediate, root);
    checkAsked(request, draft, file);

    // 2. A serial is used once. One that was signed already is given out again as it is.
    const entries = await readCeremony(root.ceremony);
    const earlier = earlierOf(entries, request, file);
    if (earlier !== undefined) return { ...earlier, name: request.name, repeated: true };

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
    const facts = { act: 'intermediate signed', by, trustDomain, at, certificate } as const;
    const record = recordOf({ ...facts, root: root.certificate, csr: request.csr.raw });
    const pem = encodePem('CERTIFICATE', der);
    await appendCeremony(root.ceremony, { kind: 'act', record, certificate: pem });
    return { name: request.name, certificate, pem, record, repeated: false };
  } finally {
    await root.close();
  }
}

function judgeRequest(
  request: CarriedRequest,
  { config, certificate }: OfflineRoot,
  { file, now }: { readonly file: string; readonly now: number },
): IntermediateConfig {
  const { name, csr, notBefore, notAfter } = request;
  const refuse = (wrong: string) => refusal(file, wrong);
  const intermediate = config.intermediates.find((each) => each.name === name);
  if (intermediate === undefined || intermediate.issuer !== 'root') {
    const signs = config.intermediates.filter((each) => each.issuer === 'root');
    const names = signs.map((each) => `"${each.name}"`).join(', ');
    throw refuse(`is for "${name}", the root's ca.yaml has it sign ${names}`);
  }
  const key = judgeKey(csr.spki);
  if (!key.ok) throw errorOfDenial(key, `sign "${file}"`);
  const [found, wanted] = [formatKeyKind(key.kind), formatKeyKind(intermediate.key)];
  if (found !== wanted) throw refuse(`has a key ${found}, ca.yaml has ${wanted} for "${name}"`);
  if (equalBytes(csr.spki.raw, certificate.spki.raw)) throw refuse("has the root's own key");
  if (!verifyPossession(csr)) throw refuse('is not signed by the key that it is for');
  const lasts = notAfter - Math.max(now, notBefore);
  if (notBefore > now + largestSkewMs || notAfter <= now) {
    const span = `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
    throw refuse(`asks for ${span}, it is ${new Date(now).toISOString()} here`);
  }
  if (lasts > intermediate.validityMs + largestSkewMs) {
    const sides = `${formatDuration(lasts)}, ca.yaml has ${formatDuration(intermediate.validityMs)}`;
    throw refuse(`asks for ${sides} for "${name}"`);
  }
  return intermediate;
}

function draftOf(
  { csr, notBefore, notAfter }: CarriedRequest,
  intermediate: IntermediateConfig,
  { config, certificate }: OfflineRoot,
): Draft {
  const { trustDomain } = config;
  const facts = { trustDomain, spki: csr.spki, notBefore, notAfter };
  return draftBelow(intermediate, facts, { name: 'root', certificate, links: [] }, config);
}

/** The request says what its ca.yaml makes of the intermediate: both sides must mean the same. */
function checkAsked({ csr, name }: CarriedRequest, draft: Draft, file: string): void {
  const [asked, ours] = [formatName(csr.subject), formatName(draft.subject)];
  if (asked !== ours) {
    throw refusal(file, `is of subject "${asked}", the root's ca.yaml has "${ours}" for "${name}"`);
  }
  const differing = differenceOf(csr.extensions, carriedExtensions(draft));
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
function identityOf({ name, serialHex, notBefore, notAfter, csr }: CarriedRequest): string {
  return hash('sha256', `${name} ${serialHex} ${notBefore} ${notAfter} ${toHex(csr.raw)}`);
}

function refusal(file: string, wrong: string): CountersignError {
  return new CountersignError('ERR_CEREMONY_REQUEST', `carried request "${file}" ${wrong}`, {
    fields: { file },
  });
}
