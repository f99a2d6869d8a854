import { hex, TpmReader } from './tpm-reader.ts';

/** TPMS_ATTEST (part 2 §10.12.12): what a TPM states, and an attestation key signs. */
export interface TpmAttest {
  readonly raw: Uint8Array;
  /** Name of the attestation key, qualified by its parents' names. */
  readonly qualifiedSigner: Uint8Array;
  /** What the verifier gave, to be sure that it is new. */
  readonly extraData: Uint8Array;
  readonly attested: TpmAttested;
}

export type TpmAttested =
  /** The key of this name is in the TPM. */
  | { readonly kind: 'certify'; readonly name: Uint8Array }
  | {
      readonly kind: 'quote';
      readonly selected: readonly { readonly hash: number; readonly bits: Uint8Array }[];
      readonly digest: Uint8Array;
    }
  /** The key of this name was made in the TPM. */
  | { readonly kind: 'creation'; readonly name: Uint8Array; readonly creationHash: Uint8Array };

/** TPM_GENERATED_VALUE: a restricted key signs nothing from outside that begins so. */
const magic = 0xff54_4347;
const mostNameOctets = 66;
const mostDigestOctets = 64;
/** Banks of registers, and octets of 24 to 32 registers. */
const mostBanks = 16;
const mostSelectOctets = 4;

/**
 * Statements of the kinds certify, quote and creation.
 *
 * @throws CountersignError ERR_TPM_FORM, ERR_TPM_UNSUPPORTED
 */
export function parseTpmAttest(bytes: Uint8Array): TpmAttest {
  const reader = new TpmReader(bytes, 'TPMS_ATTEST');
  const found = reader.u32('magic');
  if (found !== magic) reader.fail(`magic ${hex(found)}, expected ${hex(magic)}: no TPM said this`);
  const type = reader.u16('type');
  const readAttested = attestedReaders.get(type) ?? reader.unsupported(`type ${hex(type)}`);
  const qualifiedSigner = reader.sized('qualifiedSigner', mostNameOctets);
  const extraData = reader.sized('extraData', mostDigestOctets);
  reader.take(8 + 4 + 4 + 1, 'clockInfo');
  reader.take(8, 'firmwareVersion');
  const attested = readAttested(reader);
  reader.end();
  return { raw: bytes, qualifiedSigner, extraData, attested };
}

const attestedReaders = new Map<number, (reader: TpmReader) => TpmAttested>([
  [0x8017, readCertify],
  [0x8018, readQuote],
  [0x801a, readCreation],
]);

function readCertify(reader: TpmReader): TpmAttested {
  const name = reader.sized('name', mostNameOctets);
  reader.sized('qualifiedName', mostNameOctets);
  return { kind: 'certify', name };
}

function readQuote(reader: TpmReader): TpmAttested {
  const banks = reader.u32('count of banks');
  if (banks > mostBanks) reader.fail(`${banks} banks are selected, at most ${mostBanks} are read`);
  const selected = Array.from({ length: banks }, () => {
    const hash = reader.u16('hash of a bank');
    const octets = reader.u8('size of a selection');
    if (octets > mostSelectOctets) reader.fail(`a selection of ${octets} octets`);
    return { hash, bits: reader.take(octets, 'selection') };
  });
  return { kind: 'quote', selected, digest: reader.sized('pcrDigest', mostDigestOctets) };
}

function readCreation(reader: TpmReader): TpmAttested {
  const name = reader.sized('objectName', mostNameOctets);
  return { kind: 'creation', name, creationHash: reader.sized('creationHash', mostDigestOctets) };
}
