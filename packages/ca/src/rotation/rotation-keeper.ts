import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type Clock,
  CountersignError,
  errorOfDenial,
  type Log,
  messageOf,
  writeFileDurably,
} from '@countersign/base';
import { encodePem } from '@countersign/x509';
import type { Ledger } from '../ledger/ledger.ts';
import type { DocumentChange } from '../ledger/rotation-records.ts';
import { anchorsOf, isRotating } from './hierarchy-view.ts';
import { proveRotation } from './prove-rotation.ts';
import {
  formatRotationDocument,
  parseRotationDocument,
  type RotationDocument,
} from './rotation-document.ts';

export interface KeptDocument {
  /** 0: it stands in the files of init alone, and nothing was ever replaced. */
  readonly version: number;
  readonly document: RotationDocument;
}

export interface RotationKeeperOptions {
  readonly ledger: Ledger;
  /** Where this process keeps its copy; undefined: nowhere. */
  readonly file: string | undefined;
  /** What init made. */
  readonly made: RotationDocument;
  readonly rootFingerprint: string;
  readonly clock: Clock;
  readonly log: Log;
}

export const documentName = 'hierarchy';

/**
 * The hierarchy of now, as all processes over a ledger share it. The ledger's document is the one commit of every step;
 * the copy in the data directory follows it, for commands that open no ledger and for backups. A document is proved before
 * it is taken up, and one that is older than the one in force never is.
 */
export class RotationKeeper {
  readonly #options: RotationKeeperOptions;
  #kept: KeptDocument;

  private constructor(options: RotationKeeperOptions, kept: KeptDocument) {
    this.#options = options;
    this.#kept = kept;
  }

  /** @throws CountersignError ERR_STATE_BROKEN, ERR_ROTATION_PROOF, those of the ledger */
  static async open(options: RotationKeeperOptions): Promise<RotationKeeper> {
    const { ledger, file, made, rootFingerprint, log } = options;
    const copy = file === undefined ? undefined : await readCopy(file);
    const found = await ledger.document(documentName);
    const stored: KeptDocument | undefined = found && {
      version: found.version,
      document: parseRotationDocument(found.body, 'the hierarchy in the ledger'),
    };
    // A restored ledger has none: what the data directory knows goes on.
    const newest = (copy?.version ?? 0) > (stored?.version ?? 0) ? copy : stored;
    const kept = newest ?? { version: 0, document: made };
    proveRotation(kept.document, rootFingerprint);
    const keeper = new RotationKeeper(options, kept);
    if (kept === copy && kept.version > 0) await keeper.#restore(found?.version ?? 0, log);
    if (kept.version > (copy?.version ?? 0)) await keeper.#writeCopy(kept);
    return keeper;
  }

  get document(): RotationDocument {
    return this.#kept.document;
  }

  get version(): number {
    return this.#kept.version;
  }

  /**
   * The one commit of a step. Other processes find it when they look.
   *
   * @throws CountersignError ERR_LEDGER_DOCUMENT where another process was faster, those of the ledger
   */
  async change(document: RotationDocument, said: DocumentChange['said']): Promise<void> {
    const { ledger, rootFingerprint, log } = this.#options;
    proveRotation(document, rootFingerprint);
    const changed = await ledger.changeDocument({
      name: documentName,
      replaces: this.#kept.version,
      body: formatRotationDocument(document),
      said,
      forgetsHolders: !isRotating(document),
    });
    if (!changed.ok) throw errorOfDenial(changed, `${said.asked} "${said.subject}"`);
    log.info({ ...said }, `hierarchy changed: ${said.asked} "${said.subject}"`);
    await this.#adopt({ version: changed.version, document });
  }

  /** Whether no other process has changed what is kept here; nothing is taken up. */
  async isNewest(): Promise<boolean> {
    const found = await this.#options.ledger.document(documentName);
    return (found?.version ?? 0) <= this.#kept.version;
  }

  /** Takes up what another process changed. @returns whether there was news */
  async follow(): Promise<boolean> {
    const { ledger, rootFingerprint, log } = this.#options;
    const found = await ledger.document(documentName);
    if (found === undefined || found.version <= this.#kept.version) return false;
    const document = parseRotationDocument(found.body, 'the hierarchy in the ledger');
    proveRotation(document, rootFingerprint);
    log.info({ version: found.version }, 'hierarchy changed by another process');
    await this.#adopt({ version: found.version, document });
    return true;
  }

  /** In memory first: that the copy could not be written is told, and ends nothing. */
  async #adopt(kept: KeptDocument): Promise<void> {
    if (kept.version <= this.#kept.version) return;
    this.#kept = kept;
    await this.#writeCopy(kept);
  }

  async #writeCopy({ version, document }: KeptDocument): Promise<void> {
    const { file, log } = this.#options;
    if (file === undefined) return;
    const body = JSON.parse(formatRotationDocument(document));
    const text = `${JSON.stringify({ format: copyFormat, version, hierarchy: body }, undefined, 2)}\n`;
    const pem = anchorsOf(document)
      .map(({ raw }) => encodePem('CERTIFICATE', raw))
      .join('');
    const written = writeFileDurably(file, text, { mode: 0o600 }).then(() =>
      writeFileDurably(join(dirname(file), bundleName), pem),
    );
    await written.catch((thrown: unknown) => {
      log.error({ file, error: messageOf(thrown) }, 'copy of the hierarchy not written');
    });
  }

  /**
   * Puts the data directory's hierarchy in a ledger that was restored without it. Newer than every copy of it, so that
   * none of them is put there once more, in the place of what came after.
   */
  async #restore(replaces: number, log: Log): Promise<void> {
    const { ledger } = this.#options;
    const { version, document } = this.#kept;
    const said = {
      by: 'authority',
      asked: 'restore',
      subject: 'hierarchy',
      detail: `version ${version} of the data directory, the ledger had ${replaces}`,
    };
    log.warn({ ...said }, 'hierarchy of the data directory put in the ledger');
    const body = formatRotationDocument(document);
    const change = { name: documentName, replaces, newerThan: version, body, said };
    const changed = await ledger.changeDocument({ ...change, forgetsHolders: true });
    if (!changed.ok) throw errorOfDenial(changed, 'restore the hierarchy');
    this.#kept = { version: changed.version, document };
  }
}

/** Beside the copy: the roots that are trusted now. */
const bundleName = 'bundle.pem';
const copyFormat = 'countersign-hierarchy-copy';

/** @throws CountersignError ERR_STATE_BROKEN */
export async function readCopy(file: string): Promise<KeptDocument | undefined> {
  try {
    const json = JSON.parse(await readFile(file, 'utf8'));
    if (json?.format !== copyFormat || !Number.isSafeInteger(json.version)) {
      throw new TypeError('it is no hierarchy of this version');
    }
    const document = parseRotationDocument(JSON.stringify(json.hierarchy), `"${file}"`);
    return { version: json.version, document };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
