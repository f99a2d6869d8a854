import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { authorityYaml, id } from './authority-files.ts';
import { bin, countersign, temporaryDirectory } from './countersign.ts';
import { inOwnNetwork, lacksOwnNetwork } from './own-network.ts';

const uid = 1337;
const missing = ['ip', 'setpriv', 'iptables', 'ip6tables', 'nft'].filter(
  (program) => spawnSync('which', [program]).status !== 0,
);
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : lacksOwnNetwork();

/**
 * Two name spaces on one wire: in the first a plain program and its sidecar, in the second the peer's. What the program
 * connects to is caught by the rules, and the way there speaks mTLS.
 */
for (const format of ['nftables', 'iptables']) {
  test(`a plain connection is caught by rules of ${format}, and arrives with mTLS`, {
    skip,
  }, async (t) => {
    const directory = await temporaryDirectory(t);
    const file = (name: string) => join(directory, name);
    await writeFile(file('ca.yaml'), authorityYaml());
    const state = ['--data', file('state')];
    const made = await countersign(['init', '--config', file('ca.yaml'), ...state]);
    assert.equal(made.code, 0, made.stderr);
    for (const name of ['shop', 'orders']) {
      const words = ['issue', ...state, '--spiffe-id', id(name), '--out', file(name)];
      assert.equal((await countersign(words)).code, 0);
    }
    await writeFile(file('orders.yaml'), ordersYaml);
    await writeFile(file('shop.yaml'), shopYaml);
    await writeFile(file('app.mjs'), appSource);
    await writeFile(file('ask.mjs'), askSource);
    await chmod(directory, 0o755);
    const { code, said } = await inOwnNetwork(
      script,
      { DIR: directory, NODE: process.execPath, BIN: bin, UID_OF: String(uid), FORMAT: format },
      120_000,
    );
    assert.equal(code, 0, said);
    assert.match(said, /caught: .*URI=spiffe:\/\/example\.com\/shop/, said);
    assert.match(said, /unknown: refused/);
    assert.match(said, /local: 200/);
    assert.match(said, /applied again: 1 redirect/);
    assert.match(said, /removed: refused/);
    assert.match(said, /left: 0/);
  });
}

const revocation = 'revocation: { method: lifetime, maxLifetime: 24h }';

const ordersYaml = `sidecar: { namespace: prod, labels: { app: orders } }
${revocation}
inbound:
  - { port: 8080, listen: { address: 10.9.0.2, port: 15008 } }
`;

const shopYaml = `sidecar: { namespace: prod, labels: { app: shop } }
${revocation}
outbound:
  redirect: { port: 15001 }
  destinations:
    - name: orders
      hosts: [10.9.0.2:8080]
      upstream: 10.9.0.2:15008
      spiffeId: ${id('orders')}
`;

const appSource = `import { createServer } from 'node:http';
createServer((request, response) => response.end(JSON.stringify(request.headers))).listen(8080, process.argv[2]);
`;

const askSource = `const [label, url] = process.argv.slice(2);
const answer = await fetch(url, { signal: AbortSignal.timeout(10000) }).catch(() => undefined);
const told = answer === undefined ? {} : JSON.parse(await answer.text());
console.log(label + ': ' + (told['x-forwarded-client-cert'] ?? (answer === undefined ? 'refused' : answer.status)));
`;

const script = `set -e
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
ip netns add peer
ip link add near type veth peer name far netns peer
ip addr add 10.9.0.1/24 dev near && ip link set near up
ip -n peer addr add 10.9.0.2/24 dev far && ip -n peer link set far up && ip -n peer link set lo up
# What listens elsewhere is nobody's destination.
ip -n peer addr add 10.9.0.3/24 dev far
cd "$DIR" && chown -R "$UID_OF" shop
ip netns exec peer "$NODE" app.mjs 127.0.0.1 &
ip netns exec peer "$NODE" app.mjs 10.9.0.3 &
"$NODE" app.mjs 10.9.0.1 &
serve() { "$NODE" "$BIN" sidecar --config $1.yaml --identity $1 --ca https://127.0.0.1:9; }
export -f serve
ip netns exec peer bash -c "serve orders" >orders.out 2>orders.log &
setpriv --reuid "$UID_OF" --regid "$UID_OF" --clear-groups bash -c "serve shop" >shop.out 2>shop.log &
for each in orders shop; do
  for i in $(seq 200); do grep -q ready $each.out && break; sleep 0.2; done
  grep -q ready $each.out || { cat $each.log; exit 1; }
done
rules() { "$NODE" "$BIN" sidecar rules --config shop.yaml --uid "$UID_OF" --format "$FORMAT" "$@"; }
rules --apply
"$NODE" ask.mjs caught http://10.9.0.2:8080/ || true
"$NODE" ask.mjs unknown http://10.9.0.3:8080/
"$NODE" ask.mjs local http://10.9.0.1:8080/
rules --apply
redirects() { if [ "$FORMAT" = nftables ]; then nft list ruleset; else iptables-save -t nat; fi; }
count() { redirects | grep -cE 'redirect to|COUNTERSIGN_OUTPUT .*REDIRECT' || true; }
echo "applied again: $(count) redirect"
rules --remove
rules --remove
"$NODE" ask.mjs removed http://10.9.0.2:8080/
echo "left: $(count)"
cat shop.log | grep -v '"level":"info"' || true
`;
