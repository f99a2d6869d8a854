import { sign } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import {
  buildName,
  buildOcspRequest,
  buildOcspResponse,
  certIdOf,
  generateKeyPair,
  keySigner,
  ocspResponder,
  parseOcspRequest,
} from '../src/index.ts';

export interface OcspFigures {
  /** One signature over as many bytes: what OpenSSL alone takes. */
  readonly floorMicros: number;
  /** An answer for one certificate with a nonce, built and signed. */
  readonly buildMicros: number;
  /** The request with a nonce, read. */
  readonly requestMicros: number;
  readonly ratio: number;
}

const answers = 2000;
const rounds = 9;

/** An OCSP answer signed on demand against its crypto floor; in turns in one run, the median of the rounds. */
export async function measureOcsp(): Promise<OcspFigures> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const signer = keySigner(privateKey);
  const issuer = { subject: buildName([{ type: 'CN', value: 'bench' }]), spki: signer.spki };
  const certId = certIdOf({ serial: new Uint8Array(20).fill(1) }, issuer);
  const responder = ocspResponder({ signer });
  const nonce = new Uint8Array(32).fill(7);
  const request = buildOcspRequest({ certIds: [certId], nonce });
  const now = Date.UTC(2026, 0, 1);
  const answer = {
    certId,
    status: { status: 'good' },
    thisUpdate: now,
    nextUpdate: now + 3_600_000,
  } as const;
  const data = new Uint8Array(240);
  const floors: number[] = [];
  const builds: number[] = [];
  const requests: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    floors.push(await microsOf(() => void sign('sha256', data, privateKey)));
    builds.push(
      await microsOf(async () => {
        await buildOcspResponse({ responder, producedAt: now, answers: [answer], nonce });
      }),
    );
    requests.push(await microsOf(() => void parseOcspRequest(request)));
  }
  const floorMicros = median(floors);
  const buildMicros = median(builds);
  const requestMicros = median(requests);
  return { floorMicros, buildMicros, requestMicros, ratio: buildMicros / floorMicros };
}

/** CPU time of this thread, of one of many. */
async function microsOf(work: () => void | Promise<void>): Promise<number> {
  const before = process.threadCpuUsage();
  for (let i = 0; i < answers; i += 1) await work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / answers;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { floorMicros, buildMicros, requestMicros, ratio } = await measureOcsp();
  console.log(
    `ocsp answer built and signed in ${buildMicros.toFixed(1)} µs, floor ${floorMicros.toFixed(1)} µs, ` +
      `ratio ${ratio.toFixed(2)}; request read in ${requestMicros.toFixed(1)} µs`,
  );
}
