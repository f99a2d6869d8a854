import { CountersignError, concatBytes } from '@countersign/base';
import { tpmAlg, tpmHashes } from './tpm-algorithms.ts';
import { parseTpmPublic, type TpmPublic } from './tpm-public.ts';
import { hex, TpmReader } from './tpm-reader.ts';
import { readTpmSignature, type TpmSignature } from './tpm-signature.ts';
import { tpm } from './tpm-writer.ts';

/** One command to a TPM, and its whole answer. Whoever brings it asks one at a time. */
export type TpmExchange = (command: Uint8Array) => Promise<Uint8Array>;

/** What a TPM stated, as it is to be sent on. */
export interface TpmStatement {
  /** TPMS_ATTEST */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array;
}

/** TPM_RH, part 2 §7.4. */
export const tpmHierarchies = { owner: 0x4000_0001, endorsement: 0x4000_000b } as const;

const nullHierarchy = 0x4000_0007;
const passwordSession = 0x4000_0009;
const noBytes = new Uint8Array(0);
const mostAnswerBytes = 4096;
const mostIndexBytes = 8192;
/** What every TPM gives at once. */
const indexPart = 512;
/** A TPM that is busy with a self-test or its own upkeep asks for it a few times. */
const mostRetries = 20;
const sha256 = tpmHashes[0]?.id ?? 0;

/** Of part 2 §6.5.2. */
const codes = {
  createPrimary: 0x131,
  activateCredential: 0x147,
  nvRead: 0x14e,
  certify: 0x148,
  policySecret: 0x151,
  quote: 0x158,
  sign: 0x15d,
  flushContext: 0x165,
  nvReadPublic: 0x169,
  readPublic: 0x173,
  startAuthSession: 0x176,
} as const;

interface Command {
  readonly name: keyof typeof codes;
  readonly handles?: readonly number[];
  /** Authorisation of each handle that needs one; absent: the command takes none. */
  readonly authorisations?: readonly Authorisation[];
  readonly parameters?: Uint8Array;
  /** Handles that the answer begins with: 0 unless given. */
  readonly answersHandle?: boolean;
}

type Authorisation =
  | { readonly password: Uint8Array }
  /** A policy session. */
  | { readonly session: number };

/**
 * The commands of TPM 2.0 (part 3) that attestation and signing need, in plain sessions: whoever can listen between this
 * process and the TPM is its administrator.
 *
 * Every method throws ERR_TPM_COMMAND with the TPM's own code where it refuses, and ERR_TPM_FORM for an answer that is none.
 */
export class TpmCommands {
  readonly #exchange: TpmExchange;

  constructor(exchange: TpmExchange) {
    this.#exchange = exchange;
  }

  /** The same key from the same template, for as long as the hierarchy's seed stays. Flush its handle. */
  async createPrimary(
    hierarchy: keyof typeof tpmHierarchies,
    template: Uint8Array,
  ): Promise<{ readonly handle: number; readonly public: TpmPublic }> {
    const { handle, reader } = await this.#run({
      name: 'createPrimary',
      handles: [tpmHierarchies[hierarchy]],
      authorisations: [noPassword],
      parameters: concatBytes(
        tpm.sized(tpm.sized(), tpm.sized()),
        tpm.sized(template),
        tpm.sized(),
        tpm.u32(0),
      ),
      answersHandle: true,
    });
    return { handle, public: parseTpmPublic(reader.sized('outPublic', 1024)) };
  }

  async readPublic(handle: number): Promise<TpmPublic> {
    const { reader } = await this.#run({ name: 'readPublic', handles: [handle] });
    return parseTpmPublic(reader.sized('outPublic', 1024));
  }

  /** That `object` is in this TPM, by the attestation key `by`. `qualifying`: up to 64 octets. */
  async certify(object: number, by: number, qualifying: Uint8Array): Promise<TpmStatement> {
    const { reader } = await this.#run({
      name: 'certify',
      handles: [object, by],
      authorisations: [noPassword, noPassword],
      parameters: concatBytes(tpm.sized(qualifying), tpm.u16(tpmAlg.null)),
    });
    return statementOf(reader);
  }

  /** A statement about no register at all: it is for its qualifying data. */
  async quote(by: number, qualifying: Uint8Array): Promise<TpmStatement> {
    const { reader } = await this.#run({
      name: 'quote',
      handles: [by],
      authorisations: [noPassword],
      parameters: concatBytes(tpm.sized(qualifying), tpm.u16(tpmAlg.null), tpm.u32(0)),
    });
    return statementOf(reader);
  }

  /** What is in a credential that was made for the object under the endorsement key, whose policy is the TCG's. */
  async activateCredential(
    object: number,
    endorsement: number,
    credential: { readonly blob: Uint8Array; readonly secret: Uint8Array },
  ): Promise<Uint8Array> {
    const session = await this.#endorsementSession();
    try {
      const { reader } = await this.#run({
        name: 'activateCredential',
        handles: [object, endorsement],
        authorisations: [noPassword, { session }],
        parameters: concatBytes(credential.blob, credential.secret),
      });
      return reader.sized('certInfo', 64);
    } catch (thrown) {
      // The session ends with the command where that succeeds.
      await this.flushContext(session).catch(() => {});
      throw thrown;
    }
  }

  /** A signature of a digest by a key that is not restricted. */
  async sign(
    key: number,
    digest: Uint8Array,
    by: { readonly scheme: TpmSignature['scheme']; readonly hash: number },
    password: Uint8Array = noBytes,
  ): Promise<TpmSignature> {
    const ticket = concatBytes(tpm.u16(0x8024), tpm.u32(nullHierarchy), tpm.sized());
    const scheme = concatBytes(tpm.u16(tpmAlg[by.scheme]), tpm.u16(by.hash));
    const { reader } = await this.#run({
      name: 'sign',
      handles: [key],
      authorisations: [{ password }],
      parameters: concatBytes(tpm.sized(digest), scheme, ticket),
    });
    return readTpmSignature(reader);
  }

  /** What stands in an index of its memory that everybody may read, such as a certificate. At most 8 KiB. */
  async readIndex(index: number): Promise<Uint8Array> {
    const { reader: about } = await this.#run({ name: 'nvReadPublic', handles: [index] });
    const area = new TpmReader(about.sized('nvPublic', 256), 'TPMS_NV_PUBLIC');
    area.take(4 + 2 + 4, 'index, name algorithm, attributes');
    area.sized('authPolicy', 64);
    const size = area.u16('dataSize');
    if (size > mostIndexBytes) area.fail(`${size} octets, at most ${mostIndexBytes} are read`);
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < size; offset += indexPart) {
      const { reader } = await this.#run({
        name: 'nvRead',
        handles: [index, index],
        authorisations: [noPassword],
        parameters: concatBytes(tpm.u16(Math.min(indexPart, size - offset)), tpm.u16(offset)),
      });
      parts.push(reader.sized('data', indexPart));
    }
    return concatBytes(...parts);
  }

  async flushContext(handle: number): Promise<void> {
    await this.#run({ name: 'flushContext', parameters: tpm.u32(handle) });
  }

  async #endorsementSession(): Promise<number> {
    const { handle } = await this.#run({
      name: 'startAuthSession',
      handles: [nullHierarchy, nullHierarchy],
      parameters: concatBytes(
        tpm.sized(new Uint8Array(16)),
        tpm.sized(),
        // TPM_SE_POLICY
        tpm.u8(1),
        tpm.u16(tpmAlg.null),
        tpm.u16(sha256),
      ),
      answersHandle: true,
    });
    await this.#run({
      name: 'policySecret',
      handles: [tpmHierarchies.endorsement, handle],
      authorisations: [noPassword],
      parameters: concatBytes(tpm.sized(), tpm.sized(), tpm.sized(), tpm.u32(0)),
    });
    return handle;
  }

  async #run(command: Command): Promise<{ readonly handle: number; readonly reader: TpmReader }> {
    const { name, authorisations, answersHandle = false } = command;
    let answer = await this.#exchange(encode(command));
    // Part 2 §6.6.3: the very command is to be sent again.
    for (let i = 0; i < mostRetries && asksAgain(answer); i += 1) {
      answer = await this.#exchange(encode(command));
    }
    if (answer.byteLength > mostAnswerBytes) {
      const sides = `${answer.byteLength} octets, at most ${mostAnswerBytes} are read`;
      throw new CountersignError('ERR_TPM_FORM', `answer to ${name} of ${sides}`);
    }
    const reader = new TpmReader(answer, `answer to ${name}`);
    reader.u16('tag');
    const size = reader.u32('size');
    if (size !== answer.byteLength) reader.fail(`${answer.byteLength} octets, it says ${size}`);
    const code = reader.u32('response code');
    if (code !== 0) throw refusal(name, code);
    const handle = answersHandle ? reader.u32('handle') : 0;
    if (authorisations !== undefined) reader.u32('size of parameters');
    return { handle, reader };
  }
}

const noPassword: Authorisation = { password: noBytes };

function encode({ name, handles = [], authorisations, parameters = noBytes }: Command): Uint8Array {
  const areas = authorisations?.map((each) =>
    'session' in each
      ? concatBytes(tpm.u32(each.session), tpm.sized(), tpm.u8(0), tpm.sized())
      : concatBytes(tpm.u32(passwordSession), tpm.sized(), tpm.u8(0), tpm.sized(each.password)),
  );
  const sessions = areas === undefined ? noBytes : concatBytes(...areas);
  const body = concatBytes(
    ...handles.map((handle) => tpm.u32(handle)),
    ...(areas === undefined ? [] : [tpm.u32(sessions.byteLength), sessions]),
    parameters,
  );
  // TPM_ST_SESSIONS, TPM_ST_NO_SESSIONS
  const tag = areas === undefined ? 0x8001 : 0x8002;
  return concatBytes(tpm.u16(tag), tpm.u32(10 + body.byteLength), tpm.u32(codes[name]), body);
}

/** TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING */
function asksAgain(answer: Uint8Array): boolean {
  const [, , , , , , , , high = 0, low = 0] = answer;
  return answer.byteLength === 10 && [0x922, 0x908, 0x90a].includes(high * 0x100 + low);
}

function statementOf(reader: TpmReader): TpmStatement {
  const attest = reader.sized('attest', 1024);
  const start = reader.offset;
  readTpmSignature(reader);
  return { attest, signature: reader.since(start) };
}

/** The commonest of part 2 §6.6, without what they say about which handle or parameter. */
const reasons = new Map<number, string>([
  [0x08e, 'the authorisation is wrong, and counts as an attempt'],
  [0x0a2, 'the authorisation is wrong'],
  [0x08b, 'there is nothing of that handle'],
  [0x100, 'the TPM is not started'],
  [0x902, 'it has no memory left for another object'],
  [0x903, 'it has no memory left for another session'],
  [0x921, 'it is locked after too many wrong authorisations'],
  [0x922, 'it is busy'],
  [0x09f, 'the integrity check failed: this is for another key'],
]);

function refusal(name: string, code: number): CountersignError {
  // Part 2 §6.6.2: format one tells beside the error which parameter, session or handle is meant.
  const bare = (code & 0x80) === 0 ? code : code & 0xbf;
  const reason = reasons.get(bare) ?? 'see part 2 §6.6 of the TPM 2.0 Library';
  return new CountersignError('ERR_TPM_COMMAND', `TPM refuses ${name}: ${hex(code)}, ${reason}`, {
    fields: { command: name, code },
  });
}
