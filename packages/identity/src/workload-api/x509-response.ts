import { CountersignError } from '@countersign/base';

/** One SVID of a Workload API, as it was sent: certificates one after the other, a PKCS #8 key, authorities. */
export interface SentSvid {
  readonly spiffeId: string;
  readonly chain: Uint8Array;
  readonly key: Uint8Array;
  readonly bundle: Uint8Array;
}

export interface X509Response {
  readonly svids: readonly SentSvid[];
  /** Of other trust domains, by their name. */
  readonly federated: ReadonlyMap<string, Uint8Array>;
}

interface Field {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** SPIFFE Workload API §5.2.1: `X509SVIDResponse`. @throws CountersignError ERR_IDENTITY_RESPONSE */
export function parseX509Response(message: Uint8Array): X509Response {
  const svids: SentSvid[] = [];
  const federated = new Map<string, Uint8Array>();
  for (const { number, bytes } of fieldsOf(message)) {
    if (number === 1) svids.push(svidOf(bytes));
    if (number !== 3) continue;
    const entry = byNumber(bytes);
    const name = textOf(entry.get(1)).replace(/^spiffe:\/\//, '');
    federated.set(name, entry.get(2) ?? nothing);
  }
  return { svids, federated };
}

const nothing = new Uint8Array();

function svidOf(message: Uint8Array): SentSvid {
  const fields = byNumber(message);
  const at = (number: number) => fields.get(number) ?? nothing;
  return { spiffeId: textOf(fields.get(1)), chain: at(2), key: at(3), bundle: at(4) };
}

function byNumber(message: Uint8Array): ReadonlyMap<number, Uint8Array> {
  return new Map(fieldsOf(message).map(({ number, bytes }) => [number, bytes]));
}

function textOf(bytes: Uint8Array = nothing): string {
  return Buffer.from(bytes).toString('utf8');
}

/** Protocol buffers, wire format: the fields that have a length; numbers are passed over, nothing here has one. */
function fieldsOf(message: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  while (at < message.byteLength) {
    const tag = varint();
    const type = tag & 7;
    if (type === 0) varint();
    else if (type === 1) at += 8;
    else if (type === 5) at += 4;
    else if (type !== 2) throw broken(`wire type ${type}`);
    else {
      const length = varint();
      if (at + length > message.byteLength) throw broken('a field beyond its end');
      found.push({ number: tag >>> 3, bytes: message.subarray(at, at + length) });
      at += length;
    }
  }
  if (at > message.byteLength) throw broken('a field beyond its end');
  return found;

  function varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const octet = message[at];
      if (octet === undefined) throw broken('a number beyond its end');
      at += 1;
      value += (octet & 0x7f) * 2 ** shift;
      if (octet < 0x80) return value;
    }
    throw broken('a number of more than five octets');
  }
}

function broken(what: string): CountersignError {
  return new CountersignError('ERR_IDENTITY_RESPONSE', `the Workload API answered with ${what}`);
}
