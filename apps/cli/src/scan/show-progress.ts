import type { Cli } from '../cli.ts';
import { printable } from '../printable.ts';
import type { ScanProgress } from './scan-paths.ts';
import { formatBytes } from './scan-report.ts';

const everyMs = 200;
const width = 79;

/** One line on standard error that is written over, where that is a terminal; nothing elsewhere. */
export function showProgress(cli: Cli): {
  readonly watch: (progress: ScanProgress) => void;
  readonly end: () => void;
} {
  if (!cli.errIsTerminal) return { watch: () => {}, end: () => {} };
  let shownAt = cli.clock.monotonic();
  let isShown = false;
  return {
    watch({ files, bytes, keys, path }) {
      const now = cli.clock.monotonic();
      if (now - shownAt < everyMs) return;
      shownAt = now;
      isShown = true;
      const text = printable(`${files} files, ${formatBytes(bytes)}, ${keys} keys: ${path}`);
      cli.err(`\r\u001b[2K${text.slice(0, width)}`);
    },
    end() {
      if (isShown) cli.err('\r\u001b[2K');
    },
  };
}
