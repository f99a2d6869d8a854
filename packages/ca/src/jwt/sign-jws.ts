import { DerReader, type Signer } from '@countersign/x509';

const coordinateOctets = { ES256: 32, ES384: 48 } as const;

export interface JwsHeader {
  readonly alg: string;
  readonly kid: string;
  readonly typ: 'JWT';
}

/** RFC 7515 §7.1: compact serialisation. */
export async function signJws(header: JwsHeader, claims: object, signer: Signer): Promise<string> {
  const signed = `${encoded(header)}.${encoded(claims)}`;
  const signature = await signer.sign(Buffer.from(signed));
  const octets = coordinateOctets[header.alg as keyof typeof coordinateOctets];
  // RFC 7518 §3.4: r and s side by side, not the SEQUENCE that X.509 wants.
  const bytes = octets === undefined ? signature : sideBySide(signature, octets);
  return `${signed}.${Buffer.from(bytes).toString('base64url')}`;
}

function sideBySide(signature: Uint8Array, octets: number): Uint8Array {
  const reader = DerReader.over(signature, 'ECDSA signature').sequence('ECDSA signature');
  const bytes = new Uint8Array(2 * octets);
  for (const [index, integer] of [reader.integer('r'), reader.integer('s')].entries()) {
    const magnitude = integer[0] === 0 ? integer.subarray(1) : integer;
    bytes.set(magnitude, (index + 1) * octets - magnitude.byteLength);
  }
  return bytes;
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
