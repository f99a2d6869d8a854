import { everyProfile, type LintRule } from './lint-rule.ts';

export const serial: LintRule = {
  name: 'serial',
  about: 'template',
  clause: 'RFC 5280 §4.1.2.2',
  profiles: everyProfile,
  check: ({ serial }) =>
    serial.byteLength === 20 && serial[0] === 1 ? undefined : 'serial place is not of 20 octets',
};
