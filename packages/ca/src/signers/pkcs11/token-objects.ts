import { type Attribute, readUlong } from './call-memory.ts';
import type { Pkcs11Module } from './pkcs11-module.ts';
import type { Session } from './token-connection.ts';

/** A modulus of 8192 bits has an eighth of that. */
const largestAttribute = 8192;

/** @throws Pkcs11Failure */
export async function attributeOf(
  session: Session,
  module: Pkcs11Module,
  object: bigint,
  type: bigint,
): Promise<Uint8Array> {
  return module.call('C_GetAttributeValue', (memory) => {
    const template = memory.template([{ type, value: new Uint8Array(largestAttribute) }]);
    return {
      args: [session, object, template.pointer, template.count],
      read: () => template.value(0) ?? new Uint8Array(),
    };
  });
}

/** Handles of objects that are so, two at most: more than one is as wrong as many. @throws Pkcs11Failure */
export async function findObjects(
  session: Session,
  module: Pkcs11Module,
  wanted: readonly Attribute[],
): Promise<bigint[]> {
  await module.call('C_FindObjectsInit', (memory) => {
    const { pointer, count } = memory.template([...wanted]);
    return { args: [session, pointer, count], read: () => {} };
  });
  try {
    return await module.call('C_FindObjects', (memory) => {
      const list = memory.room(2 * 8);
      const count = memory.number();
      const read = () =>
        Array.from({ length: Number(count.read()) }, (_, i) => readUlong(list.view, i * 8));
      return { args: [session, list.pointer, 2n, count.pointer], read };
    });
  } finally {
    await module.call('C_FindObjectsFinal', () => ({ args: [session], read: () => {} }));
  }
}
