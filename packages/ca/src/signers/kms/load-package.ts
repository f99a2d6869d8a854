import { CountersignError } from '@countersign/base';

/**
 * A package that only those install who use its service.
 *
 * @throws CountersignError ERR_SIGNER_KMS_SDK with the command that installs it
 */
export async function loadPackage(name: string, title: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (thrown) {
    throw new CountersignError(
      'ERR_SIGNER_KMS_SDK',
      `use ${title}: the package "${name}" is not installed`,
      { fields: { package: name }, hint: `npm install ${name}`, cause: thrown },
    );
  }
}
