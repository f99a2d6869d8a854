import { createPublicKey, sign, verify } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { systemClock } from '@countersign/base';
import {
  buildCertificateRequest,
  generateKeyPair,
  keySigner,
  parseCertificateRequest,
} from '@countersign/x509';
import { ephemeralAuthority, parseCaConfig } from '../src/index.ts';

export interface IssuanceFigures {
  /** Verify the request's signature, import its key, sign as many bytes: what OpenSSL alone takes. */
  readonly floorMicros: number;
  /** One certificate through the whole flow, with a memory ledger. */
  readonly figureMicros: number;
  readonly ratio: number;
}

const requests = 100;
const rounds = 120;

/** Issuance in process against its crypto floor; both in turns in one run, the best of the rounds. */
export async function measureIssuance(): Promise<IssuanceFigures> {
  const config = parseCaConfig(configText, 'bench.yaml');
  const authority = await ephemeralAuthority({ config, clock: systemClock });
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const floors: number[] = [];
  const figures: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // New keys each round: a key that was seen before costs no import.
    const csrs = await Promise.all(Array.from({ length: requests }, makeRequest));
    const parsed = csrs.map((csr) => parseCertificateRequest(csr));
    const data = new Uint8Array(480);

    let start = performance.now();
    for (const { spki, tbs, signature } of parsed) {
      const key = createPublicKey({ key: Buffer.from(spki.raw), format: 'der', type: 'spki' });
      if (!verify('sha256', tbs, key, signature)) throw new Error('a request does not verify');
      sign('sha256', data, privateKey);
    }
    floors.push(performance.now() - start);

    start = performance.now();
    for (const [index, csr] of csrs.entries()) {
      const issued = await authority.issue({
        csr,
        spiffeId: `spiffe://example.com/ns/prod/sa/s${index}`,
        dns: [`s${index}.prod.internal`],
      });
      if (!issued.ok) throw new Error(issued.detail);
    }
    figures.push(performance.now() - start);
  }
  await authority.close();
  const floorMicros = (best(floors) * 1000) / requests;
  const figureMicros = (best(figures) * 1000) / requests;
  return { floorMicros, figureMicros, ratio: figureMicros / floorMicros };
}

async function makeRequest(): Promise<Uint8Array> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  return await buildCertificateRequest({ signer: keySigner(privateKey) });
}

/** The fastest round: what a neighbour on the machine takes away is nobody's figure. */
function best(values: readonly number[]): number {
  return Math.min(...values);
}

const configText = `
ca:
  intermediate:
    production:
      nameConstraints: { permitted: [prod.internal] }
service_certificates:
  san_policies:
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["*.prod.internal"]
`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { floorMicros, figureMicros, ratio } = await measureIssuance();
  console.log(
    `issuance in process ${figureMicros.toFixed(0)} µs, floor ${floorMicros.toFixed(0)} µs, ratio ${ratio.toFixed(2)}`,
  );
}
