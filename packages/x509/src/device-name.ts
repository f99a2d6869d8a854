import { equalBytes, fromHex, toHex } from '@countersign/base';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import type { GeneralName } from './general-name.ts';
import { oids } from './oids.ts';
import { decodeString } from './string-types.ts';
import { tags } from './tags.ts';

/** What a device is called by whoever made or gave it out. */
export type DeviceName =
  /** RFC 4043 §2, without an assigner. */
  | { readonly kind: 'permanentIdentifier'; readonly value: string }
  /** RFC 4108 §5: `type` is a dotted OID. */
  | { readonly kind: 'hardwareModule'; readonly type: string; readonly serial: Uint8Array };

/**
 * The device name that an other name is. Undefined for every other name, and for an identifier that is without a value or
 * has an assigner: it means something else there.
 *
 * @throws DerError where it is of such a form and malformed
 */
export function deviceNameOf(name: GeneralName): DeviceName | undefined {
  if (name.kind !== 'otherName') return undefined;
  return readers.get(name.oid)?.(name.value);
}

export function generalNameOfDevice(name: DeviceName): GeneralName {
  if (name.kind === 'permanentIdentifier') {
    const value = der.sequence(der.utf8(name.value));
    return { kind: 'otherName', oid: oids.permanentIdentifier, value };
  }
  const value = der.sequence(der.oid(name.type), der.octetString(name.serial));
  return { kind: 'otherName', oid: oids.hardwareModuleName, value };
}

/** `permanent-identifier:SN-1234`, `hardware-module:1.2.3.4:0a0b`. */
export function formatDeviceName(name: DeviceName): string {
  if (name.kind === 'permanentIdentifier') return `permanent-identifier:${name.value}`;
  return `hardware-module:${name.type}:${toHex(name.serial)}`;
}

/** Undefined for anything but what {@link formatDeviceName} writes; hexadecimal digits in either case. */
export function parseDeviceName(text: string): DeviceName | undefined {
  const [, value] = /^permanent-identifier:([\x21-\x7e]{1,200})$/.exec(text) ?? [];
  if (value !== undefined) return { kind: 'permanentIdentifier', value };
  const [, type = '', hex = ''] = hardwareModule.exec(text) ?? [];
  const serial = fromHex(hex);
  if (serial === undefined || serial.byteLength === 0) return undefined;
  try {
    der.oid(type);
  } catch {
    return undefined;
  }
  return { kind: 'hardwareModule', type, serial };
}

export function sameDeviceName(a: DeviceName, b: DeviceName): boolean {
  if (a.kind === 'permanentIdentifier') return b.kind === a.kind && a.value === b.value;
  return b.kind === a.kind && a.type === b.type && equalBytes(a.serial, b.serial);
}

const hardwareModule =
  /^hardware-module:([0-2](?:\.(?:0|[1-9]\d{0,8})){1,20}):((?:[0-9a-fA-F]{2}){1,64})$/;

const readers = new Map<string, (value: Uint8Array) => DeviceName | undefined>([
  [oids.permanentIdentifier, readPermanentIdentifier],
  [oids.hardwareModuleName, readHardwareModule],
]);

function readPermanentIdentifier(bytes: Uint8Array): DeviceName | undefined {
  const what = 'permanent identifier';
  const reader = DerReader.over(bytes, what);
  const inner = reader.sequence(what);
  reader.end(what);
  if (inner.nextTag !== tags.utf8String) return undefined;
  const start = inner.offset;
  inner.any(what);
  const raw = inner.since(start);
  if (!inner.atEnd) {
    inner.oid(what);
    inner.end(what);
    return undefined;
  }
  const value = decodeString(tags.utf8String, contentOf(raw));
  return value === undefined || value === '' ? undefined : { kind: 'permanentIdentifier', value };
}

function readHardwareModule(bytes: Uint8Array): DeviceName {
  const what = 'hardware module name';
  const reader = DerReader.over(bytes, what);
  const inner = reader.sequence(what);
  reader.end(what);
  const type = inner.oid(what);
  const serial = inner.octetString(what);
  inner.end(what);
  return { kind: 'hardwareModule', type, serial };
}

/** Of an element that was checked already. */
function contentOf(element: Uint8Array): Uint8Array {
  const first = element[1] ?? 0;
  return element.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f));
}
