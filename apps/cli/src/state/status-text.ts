import { counted } from '@countersign/base';
import type { StatusResponse } from '@countersign/wire';
import { printable } from '../printable.ts';
import { roughDuration, validityAt } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import type { Style } from '../style.ts';

/** A status for people: a line a thing, findings last. What an older authority does not tell is left out. */
export function statusText(status: StatusResponse, now: number, style: Style): string {
  const lines = sections.flatMap((section) => section(status, now));
  const findings = (status.findings ?? []).map(({ about, detail }) =>
    style.red(`finding        ${about}: ${printable(detail)}`),
  );
  const none = status.findings === undefined ? [] : ['findings       none'];
  return [...lines, ...(findings.length > 0 ? findings : none), ''].join('\n');
}

type Section = (status: StatusResponse, now: number) => readonly string[];

const sections: readonly Section[] = [
  ({ own }, now) => {
    if (own === undefined) return [];
    const { spiffeId = 'certificate', serial, notAfter, isWell } = own;
    const health = isWell
      ? 'the authority is well'
      : 'the authority has findings: ask its operators';
    return [
      `you            ${printable(spiffeId)}  ${validityAt(0, notAfter, now)}, serial ${serial}; ${health}`,
    ];
  },
  ({ trustDomain, version, uptimeMs }) => [
    `trust domain   ${printable(trustDomain)}`,
    `authority      ${uptimeMs > 0 ? `serves for ${roughDuration(uptimeMs)}` : 'nobody serves it'}, version ${printable(version)}`,
  ],
  ({ certificates = [], intermediates, rootFingerprint }, now) =>
    certificates.length > 0
      ? certificates.map(({ name, fingerprint, notBefore, notAfter, signs }) => {
          const key = signs ? '' : ', its key is elsewhere';
          const validity = validityAt(notBefore, notAfter, now);
          return `certificate    ${printable(name)}  ${validity}${key}  ${fingerprint}`;
        })
      : [
          `root           ${rootFingerprint}`,
          ...intermediates.map(
            ({ name, notAfter }) =>
              `intermediate   ${printable(name)}  ${validityAt(0, notAfter, now)}`,
          ),
        ],
  ({ signers = [] }) =>
    signers.map(
      ({ store, finding }) => `keys           ${printable(store)}  ${printable(finding ?? 'well')}`,
    ),
  ({ ledger }) => [
    `ledger         position ${ledger.position}, ${ledger.issued} issued, ${counted(ledger.revoked, 'revocation')}${
      ledger.openIntents === undefined ? '' : `, ${ledger.openIntents} under way`
    }`,
    ...(ledger.audit === undefined
      ? []
      : [`audit trail    row ${ledger.audit.seq}  ${ledger.audit.hash}`]),
  ],
  ({ retention }) => {
    if (retention === undefined) return [];
    const { enabled, certificates, tokens, revocations, finishedAt, endedBefore } = retention;
    const moved = `${counted(certificates, 'certificate')}, ${counted(tokens, 'token')}, ${counted(revocations, 'revocation')} archived`;
    const last =
      finishedAt === 0
        ? 'no round yet'
        : `what ended before ${formatRfc3339(endedBefore)}, at ${formatRfc3339(finishedAt)}`;
    return [`retention      ${enabled ? '' : 'off; '}${moved}; ${last}`];
  },
  ({ log }) =>
    log === undefined
      ? []
      : [
          `log            ${printable(log.origin)}  ${counted(log.size, 'entry', 'entries')}  ${log.root}`,
        ],
  ({ lists = [] }, now) =>
    lists.map(({ issuer, path, number, entries, thisUpdate, nextUpdate }) => {
      const hex = `0x${BigInt(number).toString(16)}`;
      const which = `${printable(issuer)} ${printable(path)}  ${hex}`;
      return `list           ${which}  ${counted(entries, 'entry', 'entries')}  ${validityAt(thisUpdate, nextUpdate, now)}`;
    }),
  ({ gateways }) =>
    gateways.map(({ id, spiffeId, position, lastSeenMsAgo, maxSilenceMs }) => {
      const until = maxSilenceMs === undefined ? '' : ` of at most ${roughDuration(maxSilenceMs)}`;
      const silent = `silent for ${roughDuration(lastSeenMsAgo)}${until}`;
      return `gateway        ${printable(id)}  ${printable(spiffeId)}  at ${position}, ${silent}`;
    }),
];
