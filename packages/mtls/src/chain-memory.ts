import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { type Denial, denial, messageOf } from '@countersign/base';
import { maxPeerChain } from '@countersign/spiffe';
import { type Certificate, parseCertificate } from '@countersign/x509';

/** What a peer sent: its chain, leaf first; `missing` when no certificate was sent. */
export type SentChain =
  | {
      readonly kind: 'chain';
      readonly chain: readonly Certificate[];
      /** As in `HandshakeFacts.serverNames`. */
      readonly serverNames: readonly string[];
    }
  | { readonly kind: 'missing' }
  | { readonly kind: 'refused'; readonly denial: Denial };

const mostServerNames = 8;
const noName = '';

/**
 * Reads the chain that a peer sent, and remembers verified ones by their leaf: a resumed session shows the leaf alone
 * (and, on TLS 1.2, no server name). Bounded: the leaf longest unseen is forgotten first, and its holder's next
 * resumption is refused, which makes it handshake in full.
 */
export class ChainMemory {
  readonly #capacity: number;
  readonly #known = new Map<string, { chain: readonly Certificate[]; serverNames: Set<string> }>();

  /** @param capacity how many leaves are remembered; 1 to 1,000,000, 10,000 unless given (~3 KB each) */
  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#known.size;
  }

  /** The chain behind an established server-side connection, in full or resumed. */
  read(socket: TLSSocket): SentChain {
    const sent = sentCertificates(socket);
    const leafDer = sent[0];
    if (leafDer === undefined) return { kind: 'missing' };
    if (sent.length > maxPeerChain) {
      return refused('ERR_TLS_CHAIN_MALFORMED', `chain of more than ${maxPeerChain} certificates`);
    }
    const serverNames = serverNamesOf(socket);
    const known = this.#known.get(keyOf(leafDer));
    if (socket.isSessionReused()) {
      if (known === undefined) {
        const detail = 'chain of the resumed session is not remembered';
        return refused('ERR_TLS_RESUMED_CHAIN_GONE', detail);
      }
      const isShown = serverNames.length > 0 || socket.getProtocol() !== 'TLSv1.2';
      // Where one full handshake was without a name, the ticket may be from that one.
      const names = known.serverNames.has(noName) ? [] : [...known.serverNames];
      return { kind: 'chain', chain: known.chain, serverNames: isShown ? serverNames : names };
    }
    if (known !== undefined && sameChain(known.chain, sent)) {
      return { kind: 'chain', chain: known.chain, serverNames };
    }
    try {
      return { kind: 'chain', chain: sent.map((der) => parseCertificate(der)), serverNames };
    } catch (thrown) {
      return refused('ERR_TLS_CHAIN_MALFORMED', `chain of the peer: ${messageOf(thrown)}`);
    }
  }

  /**
   * To be called after a full handshake once the chain is verified, never before: strangers must not fill the memory.
   */
  remember(chain: readonly Certificate[], serverNames: readonly string[]): void {
    const leaf = chain[0];
    if (leaf === undefined) return;
    const key = keyOf(leaf.raw);
    const names = this.#known.get(key)?.serverNames ?? new Set<string>();
    const shown = serverNames.length === 0 ? [noName] : serverNames;
    for (const name of shown) if (names.size < mostServerNames) names.add(name);
    this.#known.delete(key);
    this.#known.set(key, { chain, serverNames: names });
    if (this.#known.size <= this.#capacity) return;
    const oldest = this.#known.keys().next();
    if (oldest.done !== true) this.#known.delete(oldest.value);
  }
}

/** The certificates that Node can show, DER, leaf first: those sent that issued one another, from the leaf up. */
export function sentCertificates(socket: TLSSocket): Uint8Array[] {
  const sent: Uint8Array[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && sent.length <= maxPeerChain) {
    sent.push(new Uint8Array(next.raw));
    next = next.issuerCertificate;
  }
  return sent;
}

/** The server name (SNI) that the client sent, as a list of none or one. */
export function serverNamesOf(socket: TLSSocket): string[] {
  const { servername } = socket as unknown as { servername?: string | false | null };
  return typeof servername === 'string' && servername !== '' ? [servername.toLowerCase()] : [];
}

function keyOf(leafDer: Uint8Array): string {
  return createHash('sha256').update(leafDer).digest('base64');
}

function sameChain(known: readonly Certificate[], sent: readonly Uint8Array[]): boolean {
  if (known.length !== sent.length) return false;
  return known.every((certificate, i) => Buffer.compare(certificate.raw, sent[i] ?? noBytes) === 0);
}

const noBytes = new Uint8Array();

function refused(code: Parameters<typeof denial>[0], detail: string): SentChain {
  return { kind: 'refused', denial: denial(code, detail) };
}
