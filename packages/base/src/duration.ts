import { CountersignError } from './errors.ts';

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * A duration as Go and Vault write it (`"24h"`, `"1h30m"`, `"1.5h"`, `"7d"`), in milliseconds.
 * A bare number is seconds, as Vault reads it. Negative, empty and unit-less fractions are refused.
 *
 * @throws CountersignError ERR_DURATION
 */
export function parseDuration(text: string | number): number {
  const written = String(text).trim();
  if (/^\d+$/.test(written)) return checkRange(written, Number(written) * 1000);
  const parts = [...written.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/gy)];
  const covered = parts.reduce((sum, part) => sum + part[0].length, 0);
  if (parts.length === 0 || covered !== written.length) {
    throw new CountersignError(
      'ERR_DURATION',
      `duration "${written}" is not written as 90s, 15m, 24h or 1h30m`,
      {
        fields: { written },
      },
    );
  }
  const total = parts.reduce(
    (sum, part) => sum + Number(part[1]) * (unitMs[part[2] ?? ''] ?? 0),
    0,
  );
  return checkRange(written, total);
}

/** The shortest such text, for people: `90000` → `1m30s`. Below a second in ms. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  let left = Math.round(ms / 1000);
  const hours = Math.floor(left / 3600);
  left -= hours * 3600;
  const minutes = Math.floor(left / 60);
  const seconds = left - minutes * 60;
  const text = `${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes}m` : ''}${seconds > 0 ? `${seconds}s` : ''}`;
  return text;
}

const longestMs = 100 * 365 * 86_400_000 * 3;

function checkRange(written: string, ms: number): number {
  if (Number.isFinite(ms) && ms <= longestMs) return ms;
  throw new CountersignError('ERR_DURATION', `duration "${written}" is longer than 300 years`, {
    fields: { written },
  });
}
