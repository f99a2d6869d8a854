/** Names are a stranger's text: what would steer the terminal, or turn its direction, is shown and not sent. */
export function printable(text: string): string {
  return text.replaceAll(steering, '\ufffd');
}

const steering =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
