import { CountersignError } from '@countersign/base';
import { type Certificate, type Extension, encodeExtensions, extension } from '@countersign/x509';
import type { PublishConfig } from './publish-config.ts';
import { publishedPath, shardOf, slugOf } from './published-paths.ts';

/** What a certificate says of where its state and its issuer are to be found. */
export interface Publication {
  /** They stand last, in this order. */
  readonly extensions: readonly Extension[];
  readonly shard: ShardPlaces | undefined;
}

/** Where the number of the certificate's list stands, which its serial decides. */
export interface ShardPlaces {
  readonly count: number;
  /** From the first of the digits to the end of the TBSCertificate. */
  readonly fromEnd: readonly number[];
}

export const noPublication: Publication = { extensions: [], shard: undefined };

/** For certificates of an issuer; those of authorities are few and all on one list. */
export function publicationOf(
  publish: PublishConfig | undefined,
  issuer: { readonly name: string; readonly certificate: Certificate },
  of: 'services' | 'authorities',
): Publication {
  if (publish === undefined) return noPublication;
  const { url, crl, ocsp } = publish;
  const slug = slugOf(issuer.name, issuer.certificate);
  const count = of === 'services' ? (crl?.shards ?? 1) : 1;
  const part = count === 1 ? undefined : { count, shard: 0 };
  const hasDelta = of === 'services' && crl?.deltaMs !== undefined;
  const delta = hasDelta ? [extension.freshestCrl([[url + publishedPath.delta(slug, part)]])] : [];
  const lists =
    crl === undefined
      ? []
      : [extension.crlDistributionPoints([[url + publishedPath.crl(slug, part)]]), ...delta];
  const access = extension.authorityInfoAccess({
    ocsp: ocsp === undefined ? [] : [url + publishedPath.ocsp],
    caIssuers: [url + publishedPath.certificate(slug)],
  });
  const extensions = [...lists, access];
  const endings = ['000.crl', '000-delta.crl'];
  return {
    extensions,
    shard:
      part === undefined
        ? undefined
        : {
            count,
            // An address is the end of its extension.
            fromEnd: lists.map(
              (_, i) => lengthOf(extensions.slice(i + 1)) + (endings[i]?.length ?? 0),
            ),
          },
  };
}

/**
 * Writes the list's number where the template has `000`.
 *
 * @throws CountersignError ERR_LINT where something else stands there
 */
export function writeShard(tbs: Uint8Array, { count, fromEnd }: ShardPlaces, serial: Uint8Array) {
  const shard = shardOf(serial, count);
  for (const distance of fromEnd) {
    const at = tbs.byteLength - distance;
    if (tbs[at] !== zero || tbs[at + 1] !== zero || tbs[at + 2] !== zero) {
      throw new CountersignError('ERR_LINT', 'the place of the shard is not where it belongs');
    }
    tbs[at] = zero + Math.floor(shard / 100);
    tbs[at + 1] = zero + (Math.floor(shard / 10) % 10);
    tbs[at + 2] = zero + (shard % 10);
  }
}

const zero = 0x30;

/** Of extensions in a row, without the SEQUENCE around them. */
function lengthOf(extensions: readonly Extension[]): number {
  return extensions.reduce((sum, each) => sum + encodedLength(each), 0);
}

function encodedLength(each: Extension): number {
  const sequence = encodeExtensions([each]);
  const [, first = 0] = sequence;
  return sequence.byteLength - 2 - (first < 0x80 ? 0 : first & 0x7f);
}
