import { constants, generateKeyPairSync, type KeyObject, privateEncrypt, sign } from 'node:crypto';
import type { Attribute } from '../src/signers/pkcs11/call-memory.ts';
import { CallMemory, readUlong, ulong, ulongBytes } from '../src/signers/pkcs11/call-memory.ts';
import type { Arguments, Cryptoki, FunctionName } from '../src/signers/pkcs11/cryptoki.ts';
import { cka, ckf, ckk, ckm, cko } from '../src/signers/pkcs11/cryptoki-constants.ts';

type Answer = number | Promise<number>;

/** What a test may do to it. */
export interface FakeFaults {
  /** Answers instead of the function, or undefined to let it work. */
  before?: ((name: FunctionName, args: Arguments) => Answer | undefined) | undefined;
  /** Attributes that its keys have whatever the template says. */
  attributes?: readonly Attribute[];
  /** Changes what it signs. */
  damage?: (signature: Uint8Array) => Uint8Array;
}

interface SessionState {
  signing?: { readonly key: bigint; readonly mechanism: bigint };
  found?: bigint[];
}

/**
 * A module with one token, in TypeScript over `node:crypto`: for what no real token does on demand. It hashes for
 * ECDSA by itself, as some tokens insist to. What a real one does is tested with SoftHSM2 (`*.interop.test.ts`).
 */
export class FakeCryptoki implements Cryptoki {
  readonly path: string;
  readonly faults: FakeFaults = {};
  readonly calls: FunctionName[] = [];
  pin = '1234';
  label = 'fake';
  tokenFlags = 0n;
  isPresent = true;
  isLoggedIn = false;
  maxSessions = 0n;
  readonly sessions = new Map<bigint, SessionState>();
  readonly objects = new Map<bigint, { attributes: Map<bigint, Uint8Array>; key: KeyObject }>();
  readonly #blocks = new Map<bigint, Uint8Array>();
  #next = 0x1000n;
  #isInitialised = false;

  constructor(path: string) {
    this.path = path;
  }

  readonly load = async (): Promise<Cryptoki> => this;

  memory(): CallMemory {
    return new CallMemory((bytes) => {
      this.#next += 0x10000n;
      this.#blocks.set(this.#next, bytes);
      return this.#next;
    });
  }

  async invoke(name: FunctionName, args: Arguments): Promise<number> {
    this.calls.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    const answer = await this.faults.before?.(name, args);
    if (answer !== undefined) return answer;
    if (name !== 'C_Initialize' && !this.#isInitialised) return 0x190;
    return this.#functions[name](args);
  }

  count(name: FunctionName): number {
    return this.calls.filter((call) => call === name).length;
  }

  readonly #functions: Record<FunctionName, (args: Arguments) => number> = {
    C_Initialize: () => {
      this.#isInitialised = true;
      return 0;
    },
    C_Finalize: () => {
      this.#isInitialised = false;
      this.#end();
      return 0;
    },
    C_GetSlotList: ([, list = 0n, count = 0n]) => {
      if (this.isPresent) this.#write(list, 7n);
      return this.#write(count, this.isPresent ? 1n : 0n);
    },
    C_GetTokenInfo: ([, pointer = 0n]) => {
      const view = this.#at(pointer);
      view.fill(0x20, 0, 96);
      view.set(new TextEncoder().encode(this.label), 0);
      view.set(new TextEncoder().encode('fake maker'), 32);
      view.set(new TextEncoder().encode('0001'), 80);
      view.set(ulong(ckf.tokenInitialized | this.tokenFlags), 96);
      view.set(ulong(this.maxSessions), 104);
      return 0;
    },
    C_GetMechanismInfo: ([, type = 0n, pointer = 0n]) => {
      const { ecKeyPairGen, rsaPkcsKeyPairGen, ecdsaSha256, rsaPkcs } = ckm;
      const known = [ecKeyPairGen, rsaPkcsKeyPairGen, ecdsaSha256, rsaPkcs];
      if (!known.some((each) => each === type)) return 0x70;
      this.#at(pointer).set(ulong(ckf.sign | ckf.generateKeyPair), 16);
      return 0;
    },
    C_OpenSession: ([, , , , handle = 0n]) => {
      if (!this.isPresent) return 0xe0;
      this.#next += 1n;
      this.sessions.set(this.#next, {});
      return this.#write(handle, this.#next);
    },
    C_CloseSession: ([session = 0n]) => {
      const had = this.sessions.delete(session);
      if (this.sessions.size === 0) this.isLoggedIn = false;
      return had ? 0 : 0xb3;
    },
    C_CloseAllSessions: () => {
      this.#end();
      return 0;
    },
    C_GetSessionInfo: ([session = 0n]) => this.#inSession(session, () => 0),
    C_Login: ([session = 0n, , pointer = 0n, length = 0n]) =>
      this.#inSession(session, () => {
        const pin = new TextDecoder().decode(this.#at(pointer).slice(0, Number(length)));
        if (this.isLoggedIn) return 0x100;
        this.isLoggedIn = pin === this.pin;
        return this.isLoggedIn ? 0 : 0xa0;
      }),
    C_DestroyObject: ([, object = 0n]) => (this.objects.delete(object) ? 0 : 0x82),
    C_GetAttributeValue: ([, object = 0n, template = 0n]) => {
      const [type = 0n, value = 0n] = this.#attribute(template, 0);
      const found = this.objects.get(object)?.attributes.get(type);
      if (found === undefined) return this.objects.has(object) ? 0x12 : 0x82;
      this.#at(value).set(found);
      this.#at(template).set(ulong(found.byteLength), 2 * ulongBytes);
      return 0;
    },
    C_FindObjectsInit: ([session = 0n, template = 0n, count = 0n]) =>
      this.#inSession(session, (state) => {
        const wanted = this.#template(template, count);
        state.found = !this.isLoggedIn
          ? []
          : [...this.objects.keys()].filter((handle) =>
              [...wanted].every(([type, value]) => {
                const has = this.objects.get(handle)?.attributes.get(type);
                return has !== undefined && Buffer.compare(has, value) === 0;
              }),
            );
        return 0;
      }),
    C_FindObjects: ([session = 0n, list = 0n, most = 0n, count = 0n]) =>
      this.#inSession(session, ({ found = [] }) => {
        const given = found.splice(0, Number(most));
        for (const [index, handle] of given.entries()) this.#at(list).set(ulong(handle), index * 8);
        return this.#write(count, BigInt(given.length));
      }),
    C_FindObjectsFinal: ([session = 0n]) => this.#inSession(session, () => 0),
    C_SignInit: ([session = 0n, mechanism = 0n, key = 0n]) =>
      this.#inSession(session, (state) => {
        if (!this.isLoggedIn) return 0x101;
        if (!this.objects.has(key)) return 0x82;
        state.signing = { key, mechanism: readUlong(this.#at(mechanism), 0) };
        return 0;
      }),
    C_Sign: ([session = 0n, data = 0n, length = 0n, out = 0n, outLength = 0n]) =>
      this.#inSession(session, (state) => {
        if (state.signing === undefined) return 0x91;
        const input = this.#at(data).slice(0, Number(length));
        const signature = this.#sign(state.signing, input);
        delete state.signing;
        this.#at(out).set(signature);
        return this.#write(outLength, BigInt(signature.byteLength));
      }),
    C_GenerateKeyPair: ([
      session = 0n,
      ,
      pub = 0n,
      pubCount = 0n,
      priv = 0n,
      privCount = 0n,
      a = 0n,
      b = 0n,
    ]) =>
      this.#inSession(session, () => {
        const publicTemplate = this.#template(pub, pubCount);
        const bits = publicTemplate.get(cka.modulusBits);
        const { publicKey, privateKey } =
          bits === undefined
            ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
            : generateKeyPairSync('rsa', { modulusLength: Number(readUlong(bits, 0)) });
        const jwk = publicKey.export({ format: 'jwk' });
        const part = (text?: string) => new Uint8Array(Buffer.from(text ?? '', 'base64url'));
        publicTemplate.set(cka.class, ulong(cko.publicKey));
        publicTemplate.set(cka.modulus, part(jwk.n));
        publicTemplate.set(cka.publicExponent, part(jwk.e));
        publicTemplate.set(cka.ecPoint, Uint8Array.of(4, 65, 4, ...part(jwk.x), ...part(jwk.y)));
        const privateTemplate = this.#template(priv, privCount);
        privateTemplate.set(cka.class, ulong(cko.privateKey));
        privateTemplate.set(cka.keyType, ulong(bits === undefined ? ckk.ec : ckk.rsa));
        for (const type of [cka.alwaysSensitive, cka.neverExtractable, cka.local]) {
          privateTemplate.set(type, Uint8Array.of(1));
        }
        for (const { type, value } of this.faults.attributes ?? [])
          privateTemplate.set(type, value);
        this.#write(a, this.#add(publicTemplate, privateKey));
        return this.#write(b, this.#add(privateTemplate, privateKey));
      }),
  };

  #sign({ key, mechanism }: { key: bigint; mechanism: bigint }, input: Uint8Array): Uint8Array {
    const object = this.objects.get(key);
    if (object === undefined) throw new TypeError('a key');
    const { key: privateKey } = object;
    const raw =
      mechanism === ckm.rsaPkcs
        ? privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, input)
        : sign('sha256', input, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    return this.faults.damage?.(raw) ?? raw;
  }

  #end(): void {
    this.sessions.clear();
    this.isLoggedIn = false;
  }

  #inSession(session: bigint, work: (state: SessionState) => number): number {
    if (!this.isPresent) return 0x32;
    const state = this.sessions.get(session);
    return state === undefined ? 0xb3 : work(state);
  }

  #add(attributes: Map<bigint, Uint8Array>, key: KeyObject): bigint {
    this.#next += 1n;
    this.objects.set(this.#next, { attributes, key });
    return this.#next;
  }

  #template(pointer: bigint, count: bigint): Map<bigint, Uint8Array> {
    return new Map(
      Array.from({ length: Number(count) }, (_, index) => {
        const [type = 0n, value = 0n, length = 0n] = this.#attribute(pointer, index);
        return [type, this.#at(value).slice(0, Number(length))];
      }),
    );
  }

  #attribute(pointer: bigint, index: number): bigint[] {
    const view = this.#at(pointer);
    return [0, 1, 2].map((member) => readUlong(view, (index * 3 + member) * ulongBytes));
  }

  #at(pointer: bigint): Uint8Array {
    const view = this.#blocks.get(pointer);
    if (view === undefined) throw new TypeError(`no memory at ${pointer}`);
    return view;
  }

  #write(pointer: bigint, value: bigint): number {
    this.#at(pointer).set(ulong(value));
    return 0;
  }
}
