import type { Certificate } from '@countersign/x509';

/** TCG EK Credential Profile §3.2.9: what stands in the directory name of a TPM's certificates. */
export const tpmNameAttributes = [
  ['2.23.133.2.1', 'manufacturer'],
  ['2.23.133.2.2', 'model'],
  ['2.23.133.2.3', 'version'],
] as const;

export type TpmNameAttribute = (typeof tpmNameAttributes)[number][1];

/** Those that a certificate tells, such as manufacturer `id:494E5443`. */
export function attributeOfTpm({
  subjectAltNames,
}: Certificate): Readonly<Partial<Record<TpmNameAttribute, string>>> {
  const attributes = subjectAltNames.flatMap((name) =>
    name.kind === 'directory' ? name.name.rdns.flat() : [],
  );
  return Object.fromEntries(
    tpmNameAttributes.flatMap(([oid, name]) => {
      const value = attributes.find((each) => each.oid === oid)?.value;
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
}
