import { hash } from 'node:crypto';
import type { Clock } from '@countersign/base';
import { fingerprintOf } from '@countersign/x509';
import type { HttpDocument } from './http-document.ts';
import type { PublishConfig } from './publish-config.ts';
import { earlierPartOf, publishedPath, slugOf } from './published-paths.ts';
import type { PublishingIssuer } from './publishing-issuer.ts';
import type { SignedList } from './revocation-list.ts';
import type { RevocationLists } from './revocation-lists.ts';
import type { RevokedIndex } from './revoked-index.ts';

export interface PublishedDocumentsOptions {
  readonly issuers: readonly PublishingIssuer[];
  readonly config: PublishConfig;
  readonly lists: RevocationLists | undefined;
  /** Those of issuers whose key is not here. */
  readonly imported: () => readonly {
    readonly issuer: string;
    readonly path: string;
    readonly list: SignedList;
  }[];
  readonly index: RevokedIndex;
  readonly clock: Clock;
}

/** Found; not there; or there, and not at hand at this moment. */
export type Found =
  | { readonly route: Route; readonly document: HttpDocument }
  | { readonly route: Route; readonly document: undefined; readonly status: 404 | 503 };

export type Route = 'crl' | 'ca' | 'index' | 'none';

const dayS = 86_400;

/** Everything that is served but OCSP: lists, the certificates of issuers, and an index of both for people. */
export class PublishedDocuments {
  readonly #options: PublishedDocumentsOptions;
  #issuers: readonly PublishingIssuer[] = [];
  #certificates: ReadonlyMap<string, HttpDocument> = new Map();
  readonly #lists = new WeakMap<SignedList, Omit<HttpDocument, 'cacheControl'>>();

  constructor(options: PublishedDocumentsOptions) {
    this.#options = options;
    this.takeUp(options.issuers);
  }

  /** Who issues now, and by which certificates. */
  takeUp(issuers: readonly PublishingIssuer[]): void {
    this.#issuers = issuers;
    this.#certificates = new Map(
      issuers.map((issuer) => [
        publishedPath.certificate(slugOf(issuer.name, issuer.certificate)),
        certificateDocument(issuer),
      ]),
    );
  }

  find(path: string): Found | Promise<Found> {
    const certificate = this.#certificates.get(path);
    if (certificate !== undefined) return { route: 'ca', document: certificate };
    if (path === '/' || path === '/index.json') return { route: 'index', document: this.#index() };
    if (path.startsWith('/crl/')) return this.#list(path);
    return { route: 'none', document: undefined, status: 404 };
  }

  #list(path: string): Found | Promise<Found> {
    const { lists, index } = this.#options;
    const { imported } = this.#options;
    const list = lists?.at(path) ?? imported().find((each) => each.path === path)?.list;
    if (list !== undefined) return { route: 'crl', document: this.#documentOf(list) };
    if (lists === undefined) return missing;
    if (lists.isPath(path)) return late;
    // A certificate may name a list of another number of parts, from before: what is about all of them is about it.
    const slug = /^\/crl\/([A-Za-z0-9_-]{1,60})\.crl$/.exec(path)?.[1] ?? earlierPartOf(path)?.slug;
    return slug === undefined ? missing : this.#whole(lists, slug, index);
  }

  async #whole(lists: RevocationLists, slug: string, index: RevokedIndex): Promise<Found> {
    const whole = await lists.wholeOf(slug, index);
    if ('bytes' in whole) return { route: 'crl', document: this.#documentOf(whole) };
    return whole.code === 'ERR_PUBLISH_LOADING' ? late : missing;
  }

  #documentOf(list: SignedList): HttpDocument {
    const { config, clock } = this.#options;
    let known = this.#lists.get(list);
    if (known === undefined) {
      known = {
        body: list.bytes,
        contentType: 'application/pkix-crl',
        // Its signature is in the last octets, so another list of the same number has another tag.
        etag: `"${list.number.toString(16)}-${hash('sha256', list.bytes.subarray(-64)).slice(0, 8)}"`,
        lastModified: new Date(list.madeAt).toUTCString(),
      };
      this.#lists.set(list, known);
    }
    const leftMs = Math.max(0, list.nextUpdate - clock.now());
    const ageMs = Math.min(config.crl?.maxAgeMs ?? 0, leftMs);
    return { ...known, cacheControl: `public, max-age=${Math.floor(ageMs / 1000)}` };
  }

  #index(): HttpDocument {
    const { config, lists } = this.#options;
    const { url } = config;
    const all = [...(lists?.all() ?? []), ...this.#options.imported()];
    const index = {
      ...(config.ocsp === undefined ? {} : { ocsp: url + publishedPath.ocsp }),
      issuers: this.#issuers.map(({ name, certificate }) => ({
        name,
        certificate: url + publishedPath.certificate(slugOf(name, certificate)),
        lists: all
          .filter(({ issuer }) => issuer === name)
          .map(({ path, list }) => ({
            url: url + path,
            number: `0x${list.number.toString(16)}`,
            entries: list.entries,
            bytes: list.bytes.byteLength,
            thisUpdate: new Date(list.thisUpdate).toISOString(),
            nextUpdate: new Date(list.nextUpdate).toISOString(),
          })),
      })),
    };
    const body = Buffer.from(`${JSON.stringify(index, undefined, 2)}\n`);
    const newest = Math.max(0, ...all.map(({ list }) => list.madeAt));
    return {
      body,
      contentType: 'application/json',
      etag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"`,
      lastModified: new Date(newest).toUTCString(),
      cacheControl: 'no-cache',
    };
  }
}

const missing: Found = { route: 'crl', document: undefined, status: 404 };
const late: Found = { route: 'crl', document: undefined, status: 503 };

function certificateDocument({ certificate }: PublishingIssuer): HttpDocument {
  return {
    body: certificate.raw,
    // RFC 5280 §4.2.2.1, RFC 2585 §4.1
    contentType: 'application/pkix-cert',
    etag: `"${fingerprintOf(certificate).slice(0, 22)}"`,
    lastModified: new Date(certificate.notBefore).toUTCString(),
    cacheControl: `public, max-age=${dayS}`,
  };
}
