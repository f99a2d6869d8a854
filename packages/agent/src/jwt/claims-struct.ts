/** Claims as google.protobuf.Struct: JSON in protobuf's own words. */
export function structOf(object: Readonly<Record<string, unknown>>): {
  readonly fields: Readonly<Record<string, unknown>>;
} {
  const fields = Object.entries(object).map(([name, value]) => [name, jsonValue(value)]);
  return { fields: Object.fromEntries(fields) };
}

function jsonValue(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(jsonValue) } };
  if (typeof value === 'object' && value !== null) {
    return { structValue: structOf(value as Record<string, unknown>) };
  }
  return { nullValue: 0 };
}
