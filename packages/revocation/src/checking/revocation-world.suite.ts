import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type Clock, noLog, noMeter, systemClock } from '@countersign/base';
import {
  makeSvid,
  staticBundles,
  staticSvid,
  type VerifiedPeer,
  verifyPeer,
} from '@countersign/spiffe';
import { type Mutations, type TestCa, type TestCredential, testCa } from '@countersign/testkit';
import {
  buildOcspResponse,
  decodeOcspGetPath,
  extension,
  type OcspCertStatus,
  ocspResponder,
  parseOcspRequest,
} from '@countersign/x509';
import { type OpenRevocationOptions, openRevocation } from './open-revocation.ts';
import type { RevocationConfig } from './revocation-config.ts';

/** One authority for all tests of a process: its keys take longer to make than a test. */
export const root = testCa();
export const trustDomain = 'example.test';
export const bundles = staticBundles({ trustDomain, authorities: [root.root] });

export interface RevocationServer {
  readonly url: string;
  /** Paths that were asked, in order; an OCSP question is `ocsp GET` or `ocsp POST`. */
  readonly asked: string[];
  /** What stands where; a function answers by itself. */
  readonly lists: Map<
    string,
    Uint8Array | ((request: IncomingMessage, response: ServerResponse) => void)
  >;
  readonly ocsp: OcspDouble;
  /** Until it is let go, nothing is answered. */
  hold(): () => void;
}

export interface OcspDouble {
  /** Of the certificates with these serials; `good` unless it is here. */
  readonly statuses: Map<string, OcspCertStatus>;
  signer: TestCredential;
  /** Whether the signer's certificate is sent along. */
  isDelegate: boolean;
  thisUpdate: () => number;
  nextUpdate: (() => number) | undefined;
  answersNonce: boolean;
}

/** A server for lists and an OCSP responder at `/ocsp`, over real HTTP on loopback. */
export async function startRevocationServer(
  t: TestContext,
  issuer: TestCa,
): Promise<RevocationServer> {
  const asked: string[] = [];
  const lists: RevocationServer['lists'] = new Map();
  const ocsp: OcspDouble = {
    ...{ statuses: new Map(), signer: issuer, isDelegate: false, answersNonce: true },
    thisUpdate: () => Date.now() - 1000,
    nextUpdate: () => Date.now() + 3_600_000,
  };
  let held: Promise<void> | undefined;
  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    const isOcsp = path.startsWith('/ocsp');
    asked.push(isOcsp ? `ocsp ${request.method}` : path);
    await held;
    if (isOcsp) return answerOcsp(ocsp, request, response);
    const list = lists.get(path);
    if (typeof list === 'function') return list(request, response);
    if (list === undefined) return response.writeHead(404).end();
    return response.end(list);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ url, asked, lists, ocsp },
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return () => {
        held = undefined;
        resolve();
      };
    },
  };
}

async function answerOcsp(ocsp: OcspDouble, request: IncomingMessage, response: ServerResponse) {
  const body = Buffer.concat(await request.toArray());
  const asked = parseOcspRequest(
    request.method === 'POST'
      ? new Uint8Array(body)
      : decodeOcspGetPath((request.url ?? '').replace(/^\/ocsp[^/]*\//, '')),
  );
  const answers = asked.requests.map(({ certId }) => ({
    certId,
    status: ocsp.statuses.get(certId.serialHex) ?? ({ status: 'good' } as const),
    thisUpdate: ocsp.thisUpdate(),
    nextUpdate: ocsp.nextUpdate?.(),
  }));
  const { signer, certificate } = ocsp.signer;
  const responder = ocspResponder({
    signer,
    certificates: ocsp.isDelegate ? [certificate.raw] : [],
  });
  const bytes = await buildOcspResponse({
    ...{ responder, answers, producedAt: ocsp.thisUpdate() },
    ...(ocsp.answersNonce && { nonce: asked.nonce }),
  });
  response.setHeader('content-type', 'application/ocsp-response');
  response.end(bytes);
}

/** Extensions that say where a certificate's revocation is told. */
export function pointing(
  server: Pick<RevocationServer, 'url'>,
  where: { readonly crl?: string; readonly ocsp?: string | true; readonly delta?: string },
): Pick<Mutations, 'extensions'> {
  const { crl, ocsp, delta } = where;
  return {
    extensions: [
      ...(crl === undefined ? [] : [extension.crlDistributionPoints([[`${server.url}${crl}`]])]),
      ...(delta === undefined ? [] : [extension.freshestCrl([[`${server.url}${delta}`]])]),
      ...(ocsp === undefined
        ? []
        : [
            extension.authorityInfoAccess({
              ocsp: [`${server.url}${ocsp === true ? '/ocsp' : ocsp}`],
            }),
          ]),
    ],
  };
}

/** The credential as a peer that was verified in a handshake. */
export function peerOf(
  { chain }: Pick<TestCredential, 'chain'>,
  purpose: 'client' | 'server' = 'client',
): VerifiedPeer {
  const verified = verifyPeer({ chain, bundles, at: systemClock.now(), purpose });
  if (!verified.ok) throw new Error(verified.detail);
  return verified.peer;
}

/** What the configuration chose, stopped at the end of the test. Loopback may be asked. */
export function openFor(
  t: TestContext,
  config: Partial<RevocationConfig> & Pick<RevocationConfig, 'method'>,
  options: Partial<OpenRevocationOptions> & { readonly clock?: Clock } = {},
) {
  const own = root.svid(`spiffe://${trustDomain}/edge`);
  const opened = openRevocation({
    config: { onUnknown: 'refuse', fetch: { allow: ['127.0.0.0/8'] }, ...config },
    ...{ svids: staticSvid(makeSvid(own.chain, own.privateKey)), bundles },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    ...options,
  });
  t.after(() => opened.stop());
  return opened;
}

/** Waits for a condition that a timer or a server brings about. */
export async function until(isSo: () => boolean, ms = 5000): Promise<void> {
  for (let waited = 0; !isSo(); waited += 5) {
    if (waited > ms) throw new Error(`not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
