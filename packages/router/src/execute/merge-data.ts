type Values = Record<string, unknown>;

/**
 * Puts what another fetch found of the same object into `target`: objects deeply, lists of equal length item by item. A
 * null does not overwrite what is known, for it may be another subgraph's failure.
 */
export function mergeInto(target: Values, source: Values): void {
  for (const key of Object.keys(source)) {
    // JSON may have such a key, and it would be every object's prototype that is written to.
    if (key === '__proto__') continue;
    const theirs = source[key];
    const ours = key in plain ? own(target, key) : target[key];
    if (ours === undefined || ours === null) target[key] = theirs;
    else if (theirs !== null) target[key] = merged(ours, theirs);
  }
}

function merged(ours: unknown, theirs: unknown): unknown {
  if (typeof ours !== 'object' || typeof theirs !== 'object') return theirs;
  if (ours === null || theirs === null) return theirs ?? ours;
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    if (ours.length !== theirs.length) return theirs;
    for (let i = 0; i < ours.length; i += 1) ours[i] = mergedItem(ours[i], theirs[i]);
    return ours;
  }
  if (Array.isArray(ours) || Array.isArray(theirs)) return theirs;
  mergeInto(ours as Values, theirs as Values);
  return ours;
}

function mergedItem(ours: unknown, theirs: unknown): unknown {
  if (ours === null || ours === undefined) return theirs;
  return theirs === null || theirs === undefined ? ours : merged(ours, theirs);
}

const plain: object = {};

/** Of keys that every object answers to, such as `constructor`. */
function own(target: Values, key: string): unknown {
  return Object.hasOwn(target, key) ? target[key] : undefined;
}
