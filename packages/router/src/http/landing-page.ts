import { createHash } from 'node:crypto';

const script = `
const [query, variables, run, result] = ['query', 'variables', 'run', 'result'].map((id) => document.getElementById(id));
run.onclick = async () => {
  result.textContent = '…';
  try {
    const body = { query: query.value, variables: variables.value.trim() === '' ? {} : JSON.parse(variables.value) };
    const response = await fetch(location.pathname, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    });
    result.textContent = JSON.stringify(await response.json(), null, 2);
  } catch (thrown) { result.textContent = String(thrown); }
};
document.onkeydown = (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run.click(); };
`;

const style = `
body { margin: 0; font: 14px/1.4 system-ui, sans-serif; display: grid; grid-template-columns: 1fr 1fr; height: 100vh; }
section { display: flex; flex-direction: column; padding: 1rem; gap: .5rem; min-width: 0; }
textarea, pre { font: 13px/1.5 ui-monospace, monospace; border: 1px solid #bbb; border-radius: 4px; padding: .5rem; margin: 0; }
#query { flex: 3; } #variables { flex: 1; } pre { flex: 1; overflow: auto; background: #f6f6f4; white-space: pre-wrap; }
button { align-self: start; padding: .4rem 1rem; }
`;

/** A page to try operations on, whole in itself: nothing is loaded from elsewhere. */
export const landingPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Countersign router</title><style>${style}</style>
<section><label for="query">Operation (Ctrl-Enter runs it)</label>
<textarea id="query" spellcheck="false">{ __schema { queryType { fields { name } } } }</textarea>
<label for="variables">Variables (JSON)</label><textarea id="variables" spellcheck="false"></textarea>
<button id="run">Run</button></section>
<section><span>Answer</span><pre id="result"></pre></section>
<script>${script}</script></html>
`;

/** Only what the page itself holds may run, and only this server is talked to. */
export const landingPagePolicy = [
  "default-src 'none'",
  "connect-src 'self'",
  `script-src 'sha256-${hashOf(script)}'`,
  `style-src 'sha256-${hashOf(style)}'`,
  "frame-ancestors 'none'",
].join('; ');

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
