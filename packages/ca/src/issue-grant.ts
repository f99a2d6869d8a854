import { type Denial, denial } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { type JoinToken, secretHashOf } from '@countersign/wire';
import {
  attributeOf,
  type Certificate,
  type CertificateRequest,
  parseIpAddress,
} from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import {
  type CertificateNames,
  countNames,
  type NamesResult,
  namesOf,
  parseNames,
  type WrittenNames,
  writtenNames,
} from './certificate-names.ts';
import type { EntryRegistry } from './entries/entry-registry.ts';
import type { Grant, Ledger, OrderedFacts, TokenRecord } from './ledger/ledger.ts';
import type { LifetimeQuestion } from './lifetime-policy.ts';
import type { Requester } from './policy/who.ts';

/** On whose word a certificate is issued; it decides the names. */
export type IssueGrant =
  /** Enrolment: the names that the token was created with. */
  | { readonly by: 'token'; readonly token: JoinToken }
  /** Renewal: the names of the certificate that the peer presented. */
  | { readonly by: 'peer'; readonly peer: VerifiedPeer }
  /** A registrar of ca.yaml orders for others: these names, or those of the request where none are given. */
  | { readonly by: 'registrar'; readonly peer: VerifiedPeer; readonly names: WrittenNames }
  /** An edge for another protocol vouches for these names by its own evidence, within the policy for its provisioner. */
  | {
      readonly by: 'door';
      readonly provisioner: string;
      /** Who asked there, such as `acme:<account>`. */
      readonly caller: string;
      /** What the edge has of it, such as an order; in the ledger beside the certificate. */
      readonly evidence: string;
      /** For the subject. It is judged as the names are, and need not be among them. */
      readonly commonName?: string | undefined;
      readonly names: WrittenNames;
      /** The certificate that it is to stand in for: its issuer is preferred. */
      readonly renews?: Certificate | undefined;
    }
  /** Whoever holds the state: these names, or those of the request where none are given. */
  | { readonly by: 'operator'; readonly names: WrittenNames }
  /** The authority's own TLS certificate: bound by its issuer's constraints, not by the policy for services. */
  | { readonly by: 'authority'; readonly names: WrittenNames };

/** What a grant gives. */
export interface Granted {
  readonly ok: true;
  readonly names: CertificateNames;
  readonly commonName?: string | undefined;
  /** What the policy is asked about, where that is more than `names`. */
  readonly judged?: CertificateNames | undefined;
  /** The grant in words, for the refusal of a name that it does not give. */
  readonly describe: string;
  readonly ledgerGrant: Grant;
  /** For the ledger; a renewal's own word there, which keeps the first one's name. */
  readonly provisioner: string;
  readonly requester: Requester;
  /** Of a renewal: name of the profile that its certificate was asked for by. */
  readonly profile?: string | undefined;
  /** Of a renewal: the certificate before. */
  readonly leaf?: Certificate | undefined;
  /** What it says about lifetimes beside the policy. */
  readonly lifetime: Pick<LifetimeQuestion, 'grantedMs' | 'renewed' | 'limits'>;
}

/** What the grant of a request gives: names, lifetime, and what the ledger redeems. */
export function readGrant(
  grant: IssueGrant,
  csr: CertificateRequest,
  context: GrantContext,
): Promise<Granted | Denial> | Granted | Denial {
  const read = grantReaders[grant.by] as GrantReader<IssueGrant['by']>;
  return read(grant as never, csr, context);
}

/** What a token of this authority grants; it is not redeemed. Denials: ERR_TOKEN_*. */
export async function checkJoinToken(
  token: JoinToken,
  { ledger, anchorFingerprints }: Pick<GrantContext, 'ledger' | 'anchorFingerprints'>,
): Promise<({ readonly ok: true } & TokenRecord) | Denial> {
  if (!anchorFingerprints.has(token.rootFingerprint)) {
    const own = [...anchorFingerprints].join('", "');
    const sides = `is for the authority with root "${token.rootFingerprint}", this one has "${own}"`;
    return denial('ERR_TOKEN_UNKNOWN', `join token ${sides}`);
  }
  return ledger.checkToken(token.id, secretHashOf(token));
}

interface GrantContext {
  readonly config: Pick<CaConfig, 'asksProvisioner' | 'api' | 'profiles'>;
  readonly ledger: Pick<Ledger, 'checkToken' | 'certificateStatus'>;
  readonly entries: Pick<EntryRegistry, 'grants'>;
  /** SHA-256 of each root in the trust bundle, lowercase hex. */
  readonly anchorFingerprints: ReadonlySet<string>;
}

type GrantReader<B extends IssueGrant['by']> = (
  grant: Extract<IssueGrant, { by: B }>,
  csr: CertificateRequest,
  context: GrantContext,
) => Promise<Granted | Denial> | Granted | Denial;

const grantReaders: { readonly [B in IssueGrant['by']]: GrantReader<B> } = {
  async token({ token }, _csr, { ledger, anchorFingerprints }) {
    const record = await checkJoinToken(token, { ledger, anchorFingerprints });
    if (!record.ok) return record;
    const { spiffeId, secretHash } = record;
    const named = parseNames({ ...writtenNames(record.names), spiffeId });
    if (!named.ok) return named;
    return {
      ok: true,
      names: named.names,
      describe: `join token "${token.id}"`,
      ledgerGrant: { kind: 'token', id: token.id, secretHash },
      provisioner: record.provisioner,
      requester: { provisioner: record.provisioner, caller: 'token' },
      lifetime: {
        grantedMs: record.ttlMs,
        limits: [{ ms: record.ttlMs, by: "the join token's" }],
      },
    };
  },

  async peer({ peer }, _csr, { anchorFingerprints, config, ledger }) {
    const foreign = wrongWithAnchor(peer, anchorFingerprints);
    if (foreign !== undefined) return foreign;
    // The present names, whatever the request says: a renewal changes the key and the dates alone.
    const named = namesOf(peer.names);
    if (!named.ok) return named;
    const renewed = await whatIsRenewed(peer, { config, ledger });
    const titled = withCommonName(named.names, attributeOf(peer.leaf.subject, 'CN'));
    if (!titled.ok) return titled;
    return {
      ok: true,
      names: named.names,
      commonName: titled.commonName,
      judged: titled.judged,
      describe: `certificate "${peer.serialHex}"`,
      ledgerGrant: { kind: 'renewal', serialHex: peer.serialHex },
      provisioner: 'renewal',
      requester: {
        provisioner: (config.asksProvisioner ? renewed?.provisioner : undefined) ?? 'renewal',
        caller: peer.spiffeId?.toString() ?? `certificate ${peer.serialHex}`,
      },
      profile: renewed?.profile,
      leaf: peer.leaf,
      lifetime: { renewed: peer.leaf },
    };
  },

  async registrar({ peer, names }, csr, { anchorFingerprints, config, entries }) {
    const foreign = wrongWithAnchor(peer, anchorFingerprints);
    if (foreign !== undefined) return foreign;
    const caller = peer.spiffeId?.toString() ?? `certificate ${peer.serialHex}`;
    const named = orderedNames(names, csr);
    if (!named.ok) return named;
    const titled = withCommonName(named.names, names.commonName);
    if (!titled.ok) return titled;
    const { commonName, judged } = titled;
    const isRegistrar = config.api.registrars.includes(caller);
    if (!isRegistrar && !(await entries.grants(caller, judged ?? named.names))) {
      const detail = `"${caller}" asks for a certificate of others, neither api.registrars nor an entry lets it`;
      return denial('ERR_API_FORBIDDEN', detail, { caller });
    }
    return {
      ok: true,
      names: named.names,
      ...{ commonName, judged },
      describe: `the order of "${caller}"`,
      ledgerGrant: { kind: 'registrar', serialHex: peer.serialHex },
      // So that what it vouched for can be revoked together.
      provisioner: caller,
      requester: { provisioner: caller, caller },
      lifetime: {},
    };
  },

  door({ provisioner, caller, evidence, names, commonName, renews }) {
    const named = parseNames(names);
    if (!named.ok) return named;
    const titled = withCommonName(named.names, commonName);
    if (!titled.ok) return titled;
    return {
      ok: true,
      names: named.names,
      commonName: titled.commonName,
      judged: titled.judged,
      describe: evidence,
      ledgerGrant: { kind: 'door', evidence },
      provisioner,
      requester: { provisioner, caller },
      leaf: renews,
      lifetime: {},
    };
  },

  operator({ names }, csr) {
    const named = orderedNames(names, csr);
    if (!named.ok) return named;
    const titled = withCommonName(named.names, names.commonName);
    if (!titled.ok) return titled;
    return {
      ok: true,
      names: named.names,
      ...{ commonName: titled.commonName, judged: titled.judged },
      describe: 'the order',
      ledgerGrant: { kind: 'operator' },
      provisioner: 'operator',
      requester: { provisioner: 'operator', caller: 'operator' },
      lifetime: {},
    };
  },

  authority({ names }) {
    const named = parseNames(names);
    if (!named.ok) return named;
    return {
      ok: true,
      names: named.names,
      describe: 'the authority',
      ledgerGrant: { kind: 'operator' },
      provisioner: 'authority',
      requester: { provisioner: 'authority', caller: 'authority' },
      lifetime: {},
    };
  },
};

/** RFC 5280, appendix A: `ub-common-name`. */
const longestCommonName = 64;

/** A common name is a DNS name or an address, since verifiers take it for one; a longer one is left out where a name says it. */
function withCommonName(names: CertificateNames, commonName: string | undefined) {
  if (commonName === undefined) return { ok: true, commonName, judged: undefined } as const;
  const isAddress = parseIpAddress(commonName) !== undefined;
  const read = parseNames(isAddress ? { ip: [commonName] } : { dns: [commonName] });
  if (!read.ok) return read;
  const { dns, ip } = read.names;
  const [spelt = commonName] = [...dns, ...ip];
  const isNamed = [...names.dns, ...names.ip].includes(spelt);
  if (countNames(names) === 0) {
    const sides = `common name "${spelt}" is asked for without any alternative name`;
    return denial('ERR_POLICY_NAME_MISSING', sides);
  }
  if (spelt.length > longestCommonName) {
    if (isNamed) return { ok: true, commonName: undefined, judged: undefined } as const;
    const sides = `has ${spelt.length} characters, at most ${longestCommonName} fit`;
    return denial('ERR_CSR_COMMON_NAME', `common name "${spelt}" ${sides}`);
  }
  const judged = isNamed
    ? undefined
    : { ...names, dns: [...names.dns, ...dns], ip: [...names.ip, ...ip] };
  return { ok: true, commonName: spelt, judged } as const;
}

function wrongWithAnchor(peer: VerifiedPeer, anchors: ReadonlySet<string>): Denial | undefined {
  if (anchors.has(peer.anchorFingerprint)) return undefined;
  const own = [...anchors].join('", "');
  const sides = `leads to root "${peer.anchorFingerprint}", this authority's is "${own}"`;
  return denial('ERR_RENEW_FOREIGN', `certificate "${peer.serialHex}" ${sides}`);
}

function orderedNames(names: WrittenNames, csr: CertificateRequest): NamesResult {
  const written = parseNames(names);
  if (!written.ok || countNames(written.names) > 0) return written;
  return namesOf(csr.subjectAltNames);
}

/** What the ledger has of the certificate that is renewed, where the policy asks; one that it does not know is refused there. */
async function whatIsRenewed(
  { serialHex }: VerifiedPeer,
  { config, ledger }: Pick<GrantContext, 'config' | 'ledger'>,
): Promise<OrderedFacts | undefined> {
  if (!config.asksProvisioner && config.profiles.length === 0) return undefined;
  const status = await ledger.certificateStatus(serialHex);
  return status.status === 'unknown' ? undefined : status.certificate;
}
