const serialLength = 20;
const randomLength = 12;
const marker = 0x01;

/**
 * A serial number of our authority: 0x01, then the 7-octet big-endian ledger position of the intent, then 12 random
 * octets. So none repeats by construction, and a relying party reads from the certificate alone whether it was
 * ordered before the cut-off position of a revocation.
 *
 * @param position 1 to 2^53-1
 * @param random 12 octets from a cryptographic source (RFC 5280 §4.1.2.2: at most 20 octets in all, positive)
 */
export function serialForPosition(position: number, random: Uint8Array): Uint8Array {
  if (!Number.isSafeInteger(position) || position < 1) {
    throw new RangeError(`ledger position ${position} is not between 1 and 2^53-1`);
  }
  if (random.byteLength !== randomLength) {
    throw new RangeError(`${random.byteLength} random octets, exactly ${randomLength} are needed`);
  }
  const serial = new Uint8Array(serialLength);
  serial[0] = marker;
  let left = position;
  for (let at = serialLength - randomLength - 1; at > 0; at -= 1) {
    serial[at] = left % 256;
    left = Math.floor(left / 256);
  }
  serial.set(random, serialLength - randomLength);
  return serial;
}

/** The ledger position in a serial number, or undefined where it is not of that form. */
export function positionOfSerial(serial: Uint8Array): number | undefined {
  if (serial.byteLength !== serialLength || serial[0] !== marker) return undefined;
  // Asked of each certificate of each question: without a view of it, and without large integers.
  let position = 0;
  for (let at = 1; at < serialLength - randomLength; at += 1) {
    position = position * 256 + (serial[at] ?? 0);
  }
  return Number.isSafeInteger(position) && position > 0 ? position : undefined;
}
