import type { CertificateRequest } from '@countersign/x509';
import type { EstCaller } from './authenticate.ts';
import type { EstLabel } from './est-config.ts';
import type { EstHttp } from './est-http.ts';

/** A request that was read, of a caller who may come. */
export interface EstCall {
  readonly http: EstHttp;
  readonly label: EstLabel;
  readonly caller: EstCaller;
  readonly csr: CertificateRequest;
}
