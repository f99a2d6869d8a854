const hidden = '(hidden)';

/** A copy for people and logs: what a header, a key or a URL could hold of a secret is not in it. */
export function hideSecrets(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(userInfo, '$1(hidden)@');
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Map) return hideSecrets(Object.fromEntries(value));
  if (value instanceof Set) return hideSecrets([...value]);
  if (Array.isArray(value)) {
    const [name, text] = value;
    const isPair = value.length === 2 && typeof name === 'string' && typeof text === 'string';
    return isPair && isSecret(name) ? [name, hidden] : value.map(hideSecrets);
  }
  const entries = Object.entries(value).map(([key, each]) => [
    key,
    isSecret(key) && isText(each) ? hidden : hideSecrets(each),
  ]);
  return Object.fromEntries(entries);
}

// RFC 3986 §3.2.1
const userInfo = /([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/gi;
const secretWords =
  /authorization|auth-token|token$|secret|password|passphrase|cookie|api-?key|credential|private/i;
/** Names of secrets, and no secrets. */
const harmless = /^(tokenRules|issuer)$/;

function isSecret(name: string): boolean {
  return secretWords.test(name) && !harmless.test(name);
}

function isText(value: unknown): boolean {
  return typeof value === 'string' || (Array.isArray(value) && value.every(isText));
}
