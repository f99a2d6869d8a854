import { CountersignError } from '@countersign/base';
import { type LogSource, leafHash, readTile, tileWidth } from '@countersign/wire';
import { parseCertificate } from '@countersign/x509';
import type { Ledger } from '../ledger/ledger.ts';

/** Finds the leaf of a certificate: its bundle by ledger position, which leaves are ordered by, and in it by its hash. */
export class LeafIndex {
  readonly #ledger: Ledger;
  /** Ledger positions of the last leaves of full bundles, as far as they were asked for. */
  readonly #ends = new Map<number, number>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** @throws CountersignError ERR_LOG_TAMPERED, ERR_LOG_MISSING, ERR_LOG_FORM where the log is not what was signed */
  async indexOf(
    certificate: { readonly der: Uint8Array; readonly position: number },
    source: LogSource,
    size: number,
  ): Promise<number> {
    const { der, position } = certificate;
    let [low, high] = [0, Math.floor(size / tileWidth)];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((await this.#endOf(middle, source, size)) >= position) high = middle;
      else low = middle + 1;
    }
    const wanted = Buffer.from(leafHash(der));
    const hashes = await readTile(source, { level: 0, index: low }, size);
    const at = hashes.findIndex((hash) => wanted.equals(hash));
    if (at >= 0) return low * tileWidth + at;
    throw new CountersignError(
      'ERR_LOG_TAMPERED',
      `the certificate at ledger position ${position} is not in tile ${low} of the log`,
      { fields: { position, tile: low } },
    );
  }

  async #endOf(bundle: number, source: LogSource, size: number): Promise<number> {
    const known = this.#ends.get(bundle);
    if (known !== undefined) return known;
    const entries = await readTile(source, { level: 'entries', index: bundle }, size);
    const { serialHex } = parseCertificate(entries.at(-1) ?? new Uint8Array());
    // One that is not in the ledger any more is older than all that are.
    const position = (await this.#ledger.certificate(serialHex))?.position ?? 0;
    this.#ends.set(bundle, position);
    return position;
  }
}
