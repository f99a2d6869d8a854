/**
 * What code in C has freed, back to the system. glibc keeps it for each thread that ever asked for some, which are a dozen
 * in a server of Node.
 *
 * @returns false where the C library is another one, or koffi is not installed
 */
export async function returnFreedMemory(): Promise<boolean> {
  try {
    trim ??= await malloc_trim();
    trim(0);
    return true;
  } catch {
    return false;
  }
}

let trim: ((padding: number) => number) | undefined;

/** malloc_trim(3). */
async function malloc_trim(): Promise<(padding: number) => number> {
  const { default: koffi } = await import('koffi');
  return koffi.load('libc.so.6').func('int malloc_trim(size_t)');
}
