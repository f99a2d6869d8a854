import { CountersignError } from '@countersign/base';

/** What makes an archive unreadable from here on: the scan lists it and goes on beside it. */
export function brokenArchive(reason: string): CountersignError {
  return new CountersignError('ERR_CLI_SCAN_ARCHIVE', reason);
}

export function beyondLimit(reason: string): CountersignError {
  return new CountersignError('ERR_CLI_SCAN_LIMIT', reason);
}
