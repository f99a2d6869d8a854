import { CountersignError, type Log, type Secret } from '@countersign/base';
import type { CaConfig } from './ca-config.ts';
import type { Sealer } from './sealed-key.ts';
import { type SecretPlaces, secretReader } from './signers/secret-source.ts';
import { keyFileOf, type StateManifest, stateLayout } from './state-layout.ts';
import { openKeyFile, sealerOfPassphrase } from './unseal-secret.ts';

export interface OpenSealerOptions {
  readonly manifest: Pick<StateManifest, 'seal'>;
  readonly config: CaConfig;
  readonly data: string;
  readonly passphrase?: Secret<string> | undefined;
  readonly keyFile?: string | undefined;
  readonly secrets: SecretPlaces;
  readonly log: Log;
}

/**
 * What opens the sealed keys of a data directory; undefined where no key is in a file.
 *
 * @throws CountersignError ERR_KEY_SEALED, ERR_KEY_FILE
 */
export async function openStateSealer(options: OpenSealerOptions): Promise<Sealer | undefined> {
  const { manifest, config, data, passphrase, log, secrets } = options;
  const { kind } = manifest.seal;
  if (kind === 'none' && passphrase === undefined && options.keyFile === undefined)
    return undefined;
  if (kind === 'passphrase') {
    if (passphrase !== undefined) return sealerOfPassphrase(passphrase);
    const source = config.seal ?? (secrets.prompt === undefined ? undefined : { from: 'prompt' });
    if (source !== undefined) {
      return sealerOfPassphrase(await secretReader(source, secrets, 'passphrase of the keys')());
    }
    const message = `open the keys in "${data}": they are sealed with a passphrase, none is given`;
    throw new CountersignError('ERR_KEY_SEALED', message, { fields: { data } });
  }
  const place = options.keyFile ?? keyFileOf(manifest, data) ?? stateLayout(data).keyFile;
  const isOther = kind === 'none' || passphrase !== undefined || config.seal !== undefined;
  if (!isOther) return await openKeyFile(place, log);
  const sealed = kind === 'none' ? 'in no file' : `sealed with the key file "${place}"`;
  const given =
    passphrase !== undefined
      ? 'a passphrase is given'
      : config.seal !== undefined
        ? 'ca.yaml says a passphrase'
        : 'a key file is given';
  const message = `open the keys in "${data}": they are ${sealed}, ${given}`;
  throw new CountersignError('ERR_KEY_SEALED', message, { fields: { data } });
}
