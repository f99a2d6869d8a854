import type { Certificate, DistributionPoint } from '@countersign/x509';
import { authorityPrint } from '../checking/authority-print.ts';

/** Where one list is: addresses of the same list, any of which will do. */
export interface ListPlace {
  /** Names the issuer too: the same address under another one is another list, so that neither displaces the other. */
  readonly key: string;
  /** Plain http, in the order to be tried. */
  readonly urls: readonly string[];
  /** Written by the operator. */
  readonly isConfigured: boolean;
  /** The CAs of the chain that names it, one of whose keys must have signed it. */
  readonly signers: readonly Certificate[];
}

/** What one certificate may make us ask is bounded; most have one point with one address. */
const mostUrls = 4;
const mostPoints = 8;

/**
 * The lists at these points of a certificate, or of a list.
 *
 * @param above the certificates above the one in question: its issuer first, the anchor last
 */
export function placesNamed(
  points: readonly DistributionPoint[] | undefined,
  above: readonly Certificate[],
): ListPlace[] {
  const [issuer] = above;
  if (points === undefined || issuer === undefined) return [];
  return points.slice(0, mostPoints).flatMap(({ fullName }) => {
    const uris = fullName.flatMap((name) => (name.kind === 'uri' ? [name.value] : []));
    const urls = uris.filter((uri) => /^http:/i.test(uri)).slice(0, mostUrls);
    if (urls.length === 0) return [];
    const key = `${urls.join(' ')} of ${authorityPrint(issuer)}`;
    return [{ key, urls, isConfigured: false, signers: above }];
  });
}

/** Lists that the operator names. */
export function placesConfigured(
  urls: readonly string[],
  signers: readonly Certificate[],
): ListPlace[] {
  return urls.map((url) => ({ key: url, urls: [url], isConfigured: true, signers }));
}
