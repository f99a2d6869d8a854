import { buildName, type Name, type NameAttribute } from '@countersign/x509';
import type { SubjectConfig } from './ca-config.ts';

/** A subject of the hierarchy, or the beginning of one: a directory name of constraints. */
export function subjectName(
  subject: {
    readonly [Key in keyof SubjectConfig]?: string | undefined;
  },
): Name {
  const attributes: (readonly [NameAttribute['type'], string | undefined])[] = [
    ['C', subject.country],
    ['O', subject.organization],
    ['OU', subject.organizationalUnit],
    ['CN', subject.commonName],
  ];
  return buildName(
    attributes.flatMap(([type, value]) => (value === undefined ? [] : [{ type, value }])),
  );
}
