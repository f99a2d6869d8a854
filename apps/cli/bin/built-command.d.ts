/** @param app the directory of this package */
export function builtCommand(app: string, name?: string): string | undefined;
export function isRepository(app: string): boolean;
/** Size in octets, inode, time of the last change in milliseconds. */
export function traceOf(path: string): [size: number, inode: number, changedMs: number];
