import assert from 'node:assert/strict';
import { it } from 'node:test';
import { der } from './der-writer.ts';
import {
  type DeviceName,
  deviceNameOf,
  formatDeviceName,
  generalNameOfDevice,
  parseDeviceName,
} from './device-name.ts';
import { oids } from './oids.ts';

const names: readonly DeviceName[] = [
  { kind: 'permanentIdentifier', value: 'urn:ek:sha256:b3ZlcnRlcnMtcXVpdGUtYS1mZXctY2hhcnM=' },
  { kind: 'hardwareModule', type: '1.3.6.1.4.1.1', serial: Uint8Array.of(0, 10, 255) },
];

it('device names are the same after they were encoded, and after they were written', () => {
  for (const name of names) {
    const general = generalNameOfDevice(name);
    assert.deepEqual(deviceNameOf(general), name);
    assert.deepEqual(parseDeviceName(formatDeviceName(name)), name);
  }
  assert.deepEqual(parseDeviceName('hardware-module:1.3.6.1.4.1.1:000AFf'), names[1]);
});

it('what is written like no device is none', () => {
  const texts = [
    'permanent-identifier:',
    'permanent-identifier:a b',
    'hardware-module:1.2:0',
    'dns:a',
  ];
  for (const text of [...texts, 'hardware-module:9.2:00', 'hardware-module:1.99:00', '']) {
    assert.equal(parseDeviceName(text), undefined, text);
  }
});

it('an identifier with an assigner, or without a value, is none of ours; a malformed one is refused', () => {
  const other = (value: Uint8Array, oid: string = oids.permanentIdentifier) =>
    deviceNameOf({ kind: 'otherName', oid, value });
  assert.equal(other(der.sequence(der.utf8('a'), der.oid('1.2.3'))), undefined);
  assert.equal(other(der.sequence(der.oid('1.2.3'))), undefined);
  assert.equal(other(der.sequence()), undefined);
  assert.equal(other(der.sequence(), '1.2.3'), undefined);
  assert.throws(() => other(Uint8Array.of(0x30, 5)), { code: /^ERR_DER_/ });
  assert.throws(() => other(der.sequence(der.oid('1.2.3')), oids.hardwareModuleName), {
    code: 'ERR_DER_TRUNCATED',
  });
  assert.throws(() => other(der.sequence(der.utf8('a'), der.null())), { code: 'ERR_DER_TAG' });
});
