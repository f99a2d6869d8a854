import { endianness } from 'node:os';
import { CountersignError, messageOf } from '@countersign/base';
import { CallMemory } from './call-memory.ts';

type Koffi = typeof import('koffi');

/** Arguments are CK_ULONGs, CK_BBOOLs and pointers (0n: NULL). */
export type Arguments = readonly bigint[];

/** A loaded module, as its functions: each call off the thread that answers requests. */
export interface Cryptoki {
  readonly path: string;
  memory(): CallMemory;
  /** Resolves with the return value; the memory is wiped by whoever made it, afterwards. */
  invoke(name: FunctionName, args: Arguments): Promise<number>;
}

const word = 'ulong';
const flag = 'uint8';
const pointer = 'void *';

/** Those of CK_FUNCTION_LIST that we call: place in the list, and parameters. */
const functions = {
  C_Initialize: [0, [pointer]],
  C_Finalize: [1, [pointer]],
  C_GetSlotList: [4, [flag, pointer, pointer]],
  C_GetTokenInfo: [6, [word, pointer]],
  C_GetMechanismInfo: [8, [word, word, pointer]],
  C_OpenSession: [12, [word, word, pointer, pointer, pointer]],
  C_CloseSession: [13, [word]],
  C_CloseAllSessions: [14, [word]],
  C_GetSessionInfo: [15, [word, pointer]],
  C_Login: [18, [word, word, pointer, word]],
  C_DestroyObject: [22, [word, word]],
  C_GetAttributeValue: [24, [word, word, pointer, word]],
  C_FindObjectsInit: [26, [word, pointer, word]],
  C_FindObjects: [27, [word, pointer, word, pointer]],
  C_FindObjectsFinal: [28, [word]],
  C_SignInit: [42, [word, pointer, word]],
  C_Sign: [43, [word, pointer, word, pointer, pointer]],
  C_GenerateKeyPair: [59, [word, pointer, pointer, word, pointer, word, pointer, pointer]],
} as const satisfies Record<string, readonly [number, readonly string[]]>;

export type FunctionName = keyof typeof functions;

/** CK_FUNCTION_LIST begins with a CK_VERSION, padded to a pointer. */
const listOffset = 8;

/**
 * Loads a PKCS #11 module into this process through koffi: no compiler, and no code of ours in C.
 *
 * @throws CountersignError ERR_SIGNER_MODULE
 */
export async function loadCryptoki(path: string): Promise<Cryptoki> {
  const koffi = await importKoffi();
  // Windows, 32-bit and big-endian machines lay the structures out differently.
  if (koffi.sizeof('ulong') !== 8 || koffi.sizeof('void *') !== 8 || endianness() !== 'LE') {
    const message = `load PKCS #11 module "${path}": only Linux and macOS on 64-bit x86 and ARM are supported yet`;
    throw new CountersignError('ERR_SIGNER_MODULE', message, { fields: { path } });
  }
  try {
    const list = functionListOf(koffi, path);
    const bound = new Map(
      Object.entries(functions).map(([name, [index, parameters]]) => {
        const at = koffi.decode(list, listOffset + index * 8, 'void *');
        if (at === null) throw new TypeError(`it has no ${name}`);
        return [name, koffi.decode(at, koffi.proto('ulong', [...parameters]))];
      }),
    );
    const addressOf = (bytes: Uint8Array) => koffi.address(bytes);
    return {
      path,
      memory: () => new CallMemory(addressOf),
      invoke: (name, args) =>
        new Promise((resolve, reject) => {
          bound.get(name).async(...args, (failed: unknown, value: number | bigint) => {
            if (failed === null) resolve(Number(value));
            else reject(failed);
          });
        }),
    };
  } catch (thrown) {
    const message = `load PKCS #11 module "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_SIGNER_MODULE', message, { fields: { path }, cause: thrown });
  }
}

/** Functions taken from a list do not hold their library; modules are never unloaded, some crash when they are. */
const libraries = new Set<ReturnType<Koffi['load']>>();

function functionListOf(koffi: Koffi, path: string): bigint {
  // Modules bring OpenSSL of their own; `deep` keeps its symbols apart from those of Node.
  const library = koffi.load(path, { deep: true });
  libraries.add(library);
  const getFunctionList = library.func('C_GetFunctionList', 'ulong', ['void *']);
  const out = new BigUint64Array(1);
  const returned = Number(getFunctionList(out));
  const [list = 0n] = out;
  if (returned !== 0 || list === 0n) {
    throw new TypeError(`C_GetFunctionList answers 0x${returned.toString(16)}`);
  }
  return list;
}

async function importKoffi(): Promise<Koffi> {
  try {
    return await import('koffi');
  } catch (thrown) {
    throw new CountersignError(
      'ERR_SIGNER_MODULE',
      'load a PKCS #11 module: the package "koffi" is not installed for this machine',
      { hint: 'npm install koffi', cause: thrown },
    );
  }
}
