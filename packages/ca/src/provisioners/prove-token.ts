import { type Clock, CountersignError, type Denial, denial } from '@countersign/base';
import {
  hasKeyFor,
  type JwtClaims,
  keysOfJwks,
  type UnverifiedJwt,
  type VerifyingKey,
  verifyJwt,
} from '@countersign/spiffe';
import { type Certificate, parseCertificate, publicKeyOf, validatePath } from '@countersign/x509';
import type { KeySets } from '../bearer/key-sets.ts';
import { textOf } from './claim-text.ts';
import { azureFacts, gcpFacts, type InstanceFacts } from './instance-claims.ts';
import type { ProvisionerConfig } from './provisioner-config.ts';
import { certificatesIn, textIn } from './provisioner-file.ts';

/** A token or document that its provisioner's keys have signed, for us, now. */
export interface ProvedToken {
  readonly ok: true;
  /** What it says, of a machine's under plain names. */
  readonly claims: JwtClaims;
  /** Of x5c: whose key signed it. */
  readonly certificate: Certificate | undefined;
  /** Whom it is about, for rules and the audit trail. */
  readonly subject: string;
  /** Of what the ledger keeps as the reason of a certificate. */
  readonly evidence: string;
  /** Of aws, gcp, azure and tpm: which machine has it, and since when there is that machine. */
  readonly instance?: {
    readonly id: string;
    readonly madeAt: number | undefined;
    /** What it is where it is no machine. */
    readonly what?: InstanceFacts['what'];
  };
}

/** One-time tokens are kept that long at most. */
export const longestOneTimeMs = 3_600_000;

/**
 * Denials: ERR_PROVISIONER_TOKEN.
 *
 * @throws CountersignError ERR_PROVISIONER_FILE, ERR_JWT_KEYS
 */
export async function proveToken(
  provisioner: ProvisionerConfig,
  token: UnverifiedJwt,
  { keySets, clock }: { readonly keySets: KeySets; readonly clock: Clock },
): Promise<ProvedToken | Denial> {
  const at = clock.now();
  // 1. By which keys: the provisioner's, never the token's own word.
  const signer = provisioner.type === 'x5c' ? await signerOf(provisioner, token, at) : undefined;
  if (typeof signer === 'string') return refused(provisioner, signer);
  const keys = signer === undefined ? await keysOf(provisioner, token, keySets) : [signer.key];

  // 2. Signature, time, issuer, audience.
  const { issuer } = provisioner;
  const audiences = audiencesOf(provisioner);
  const verified = verifyJwt(token, { keys, at, issuer, audiences });
  if (!verified.ok) return refused(provisioner, verified.detail);
  const { exp } = verified.jwt.claims;
  const isOneTime = provisioner.type === 'jwk' || provisioner.type === 'x5c';
  if (isOneTime && Number(exp) * 1000 > at + longestOneTimeMs) {
    return refused(provisioner, 'a one-time token ends within an hour, this one later');
  }

  // 3. Of which machine, where it is one's.
  const { claims } = verified.jwt;
  const facts = factsBy[provisioner.type]?.(claims);
  if (typeof facts === 'string') return refused(provisioner, facts);
  const sub = (textOf(claims.sub) ?? '').slice(0, 120);
  const id = textOf(claims.jti)?.slice(0, 80);
  const evidence = `${provisioner.type} token of "${issuer}" for "${sub}"${id === undefined ? '' : `, jti "${id}"`}`;
  const about = { ok: true, claims: facts?.claims ?? claims } as const;
  if (facts === undefined) {
    return { ...about, certificate: signer?.certificate, subject: sub, evidence };
  }
  const { instance, subject, madeAt, what } = facts;
  return {
    ...about,
    certificate: undefined,
    subject,
    evidence: `${evidence}, ${what} "${subject.slice(0, 200)}"`,
    instance: { id: instance, madeAt, what },
  };
}

const factsBy: Partial<
  Record<ProvisionerConfig['type'], (claims: JwtClaims) => InstanceFacts | string>
> = { gcp: gcpFacts, azure: azureFacts };

/** step's clients say of which provisioner a token by a certificate is. */
function audiencesOf({ type, name, audiences }: ProvisionerConfig): readonly string[] {
  if (type !== 'x5c') return audiences;
  return audiences.flatMap((each) => [each, `${each}#x5c/${name}`]);
}

/** Why a token has not what its provisioner asks for. */
export function wrongWithClaims(
  { claims: wanted, name }: ProvisionerConfig,
  claims: JwtClaims,
  matches: (pattern: string, text: string) => boolean,
): Denial | undefined {
  for (const { name: claim, values } of wanted) {
    const found = [claims[claim]].flat().flatMap((each) => textOf(each) ?? []);
    if (found.some((each) => values.some((pattern) => matches(pattern, each)))) continue;
    const shown = found.join('", "').slice(0, 200);
    const sides = `"${claim}" of the token is "${shown}", provisioner "${name}" wants "${values.join('" or "')}"`;
    return denial('ERR_PROVISIONER_CLAIMS', sides, { claim });
  }
  return undefined;
}

async function keysOf(
  { jwksFile, jwksUrl, issuer, caFile }: ProvisionerConfig,
  token: UnverifiedJwt,
  keySets: KeySets,
): Promise<readonly VerifyingKey[]> {
  if (jwksFile !== undefined) return keysOfJwks(await textIn(jwksFile));
  const ca = caFile === undefined ? undefined : await textIn(caFile);
  const place = { jwksUrl, issuer, ca };
  const keys = await keySets.keysOf(place);
  return hasKeyFor(token, keys) ? keys : await keySets.keysOf(place, true);
}

const longestChain = 10;

/** RFC 7515 §4.1.6: the certificate whose key signed; a text: why it is none of the provisioner's. */
async function signerOf(
  { rootsFile = '' }: ProvisionerConfig,
  { header }: UnverifiedJwt,
  at: number,
): Promise<{ readonly certificate: Certificate; readonly key: VerifyingKey } | string> {
  const { x5c } = header;
  if (!Array.isArray(x5c) || x5c.length === 0) return 'it has no "x5c" in its header';
  if (x5c.length > longestChain) return `it has more than ${longestChain} certificates`;
  let chain: Certificate[];
  try {
    chain = x5c.map((each) =>
      parseCertificate(new Uint8Array(Buffer.from(String(each), 'base64'))),
    );
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return `a certificate of "x5c": ${thrown.message}`;
  }
  const roots = await certificatesIn(rootsFile);
  const [certificate, ...intermediates] = chain;
  if (certificate === undefined) return 'it has no certificate';
  const path = validatePath({
    leaf: certificate,
    intermediates,
    anchors: roots,
    at,
    purpose: 'client',
  });
  if (!path.ok) return path.detail;
  // RFC 5280 §4.2.1.3
  if (certificate.keyUsage?.has('digitalSignature') === false) {
    return 'its certificate has no key usage digitalSignature';
  }
  return { certificate, key: { keyId: undefined, key: publicKeyOf(certificate.spki) } };
}

function refused({ name }: ProvisionerConfig, why: string): Denial {
  return denial('ERR_PROVISIONER_TOKEN', `token for provisioner "${name}": ${why}`);
}
