import type { Clock } from '@countersign/base';
import {
  type BundleSource,
  makeBundle,
  type RevocationSource,
  type RevocationStatus,
  type TrustBundle,
  type VerifiedPeer,
} from '@countersign/spiffe';
import {
  type Certificate,
  type Crl,
  certificatesFromPem,
  crlsFromPem,
  SignatureCache,
  validatePath,
} from '@countersign/x509';
import type { TrustModel } from '../model/credential-model.ts';
import type { Trust } from '../reask.ts';
import { FollowedFiles, type FollowedFilesOptions } from './followed-files.ts';

interface Read {
  readonly authorities: readonly Certificate[];
  readonly crls: readonly Crl[] | undefined;
}

/** The anchors and revocation lists of files, for peers of any names. */
export class FileTrust implements Trust {
  readonly profile = 'any';
  readonly files: FollowedFiles<Read>;
  readonly bundles: BundleSource;
  readonly revocation: RevocationSource;

  private constructor(model: TrustModel, files: FollowedFiles<Read>, clock: Clock) {
    this.files = files;
    this.bundles = bundlesOf(files);
    this.revocation =
      model.crl === undefined ? { check: () => good } : listsOf(model, files, clock);
  }

  /** @throws CountersignError ERR_FILE, ERR_PEM_*, ERR_CERT_*, ERR_CRL_*, ERR_DER_* */
  static async open(
    model: TrustModel,
    tools: Pick<FollowedFilesOptions<Read>, 'clock' | 'log' | 'lookEveryMs'>,
  ): Promise<FileTrust> {
    const { name, authorities, crl } = model;
    const files = await FollowedFiles.follow<Read>({
      ...{ ...tools, name, sources: crl === undefined ? [authorities] : [authorities, crl] },
      read: ([anchors, lists]) => ({
        authorities: certificatesFromPem(anchors?.toString() ?? ''),
        crls: lists === undefined ? undefined : crlsFromPem(lists.toString()),
      }),
    });
    return new FileTrust(model, files, tools.clock);
  }
}

const good: RevocationStatus = { status: 'good' };
const mostDomains = 1000;

/** A file says of no trust domain that it is for it alone: its authorities vouch for each that is asked about. */
function bundlesOf(files: FollowedFiles<Read>): BundleSource {
  let known = new Map<string, TrustBundle>();
  let of: readonly Certificate[] | undefined;
  return {
    bundle(trustDomain) {
      const { authorities } = files.value;
      if (of !== authorities || known.size >= mostDomains) known = new Map();
      of = authorities;
      const bundle = known.get(trustDomain) ?? makeBundle(trustDomain, authorities);
      known.set(trustDomain, bundle);
      return bundle;
    },
    authorities: () => files.value.authorities,
  };
}

interface Verdict {
  readonly from: Read;
  readonly status: RevocationStatus;
}

/** Every certificate below the anchor must be covered by a list (RFC 5280 §6.3), or the peer's own alone. */
function listsOf(
  { crlScope = 'chain' }: TrustModel,
  files: FollowedFiles<Read>,
  clock: Clock,
): RevocationSource {
  const verdicts = new WeakMap<VerifiedPeer, Verdict>();
  const signatures = new SignatureCache({ maxEntries: rememberedSignatures });
  return {
    check(peer) {
      const { value } = files;
      const known = verdicts.get(peer);
      if (known?.from === value) return known.status;
      rememberProved(peer.chain, signatures);
      const asked = { crls: value.crls ?? [], scope: crlScope, now: clock.now(), signatures };
      const status = judge(peer, asked);
      verdicts.set(peer, { from: value, status });
      return status;
    },
  };
}

/** Those of the lists, and of peers that come again. */
const rememberedSignatures = 4096;

/** A verified peer is proof of every signature of its chain: none is verified twice. */
function rememberProved(chain: VerifiedPeer['chain'], signatures: SignatureCache): void {
  for (const [i, { raw }] of chain.entries()) {
    const signer = chain[i + 1];
    if (signer !== undefined) signatures.add(signer.spki.raw, raw);
  }
}

interface Asked {
  readonly crls: readonly Crl[];
  readonly scope: 'chain' | 'leaf';
  readonly now: number;
  readonly signatures: SignatureCache;
}

function judge(
  { chain, notAfter }: VerifiedPeer,
  { crls, scope, now, signatures }: Asked,
): RevocationStatus {
  const [leaf, ...signers] = chain;
  // Of the leaf alone: its issuer is taken for granted.
  const anchor = scope === 'leaf' ? signers[0] : signers.at(-1);
  if (anchor === undefined) return good;
  const intermediates = scope === 'leaf' ? [] : signers.slice(0, -1);
  const at = Math.min(now, notAfter);
  const path = validatePath({ leaf, intermediates, anchors: [anchor], at, crls, signatures });
  if (path.ok) return good;
  if (path.code !== 'ERR_CERT_REVOKED') return { status: 'unknown', detail: path.detail };
  const reason = 'unspecified';
  return { status: 'revoked', reason, by: 'serial', at: now, toldBy: 'a list' };
}
