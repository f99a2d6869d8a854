import type { Readable } from 'node:stream';

/** Stands in the variables where a file goes; as JSON it is the null that the file's place holds. */
export class UploadedFile {
  /** Of its part in the request. */
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  toJSON(): null {
    return null;
  }
}

/** A file on its way. */
export interface ArrivingFile {
  readonly name: string;
  readonly filename: string;
  readonly mimeType: string;
  readonly stream: Readable;
}

/** Where files stand below a value of a variable, by file: paths with the variable's name first. */
export function filesIn(variable: string, value: unknown): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  look(value, `variables.${variable}`);
  return found;

  function look(each: unknown, path: string): void {
    if (each instanceof UploadedFile) {
      found.set(each.name, [...(found.get(each.name) ?? []), path]);
    } else if (typeof each === 'object' && each !== null) {
      for (const [key, below] of Object.entries(each)) look(below, `${path}.${key}`);
    }
  }
}
