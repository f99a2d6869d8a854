/** One attribute of a relative distinguished name (RFC 5280 §4.1.2.4). */
export interface AttributeValue {
  /** Dotted. */
  readonly oid: string;
  /** The text, or undefined where the value is no string type. */
  readonly value: string | undefined;
  /** Identifier octet of the value: 0x0c UTF8String, 0x13 PrintableString, 0x16 IA5String… */
  readonly tag: number;
  /** DER of the whole value, a view. */
  readonly raw: Uint8Array;
}

/** A distinguished name, in the order of the encoding (most significant first). */
export interface Name {
  readonly rdns: readonly (readonly AttributeValue[])[];
  readonly raw: Uint8Array;
}
