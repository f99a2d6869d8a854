import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { OutboundRegistry } from './outbound-registry.ts';
import { formatScript, redirectRulesOf, rulesScripts } from './redirect-rules.ts';
import { modesOf, parseSidecarConfig } from './sidecar-config.ts';

const text = readFileSync(new URL('../../../../docs/sidecar.md', import.meta.url), 'utf8');
const [whole = '', redirected = ''] = [...text.matchAll(/```yaml\n(.*?)```/gs)].map(
  (found) => found[1],
);

test('the file of docs/sidecar.md is read, and means what is said there', () => {
  const { written, gateway } = parseSidecarConfig(whole, 'sidecar.yaml');
  assert.deepEqual(
    gateway.model.listeners.map(({ name, port }) => [name, port]),
    [
      ['inbound-8080', 15008],
      ['inbound-5432', 15432],
      ['outbound-payments', 9001],
      ['outbound-ledger', 9002],
      ['proxy', 15080],
    ],
  );
  const modes = modesOf(written, []);
  assert.equal(modes.get('inbound-8080')?.mode, 'STRICT');
  assert.equal(modes.get('inbound-5432')?.mode, 'PERMISSIVE');
  assert.equal(gateway.model.outbound?.policy, 'REGISTRY_ONLY');
});

test('its redirection catches everything but the sidecar and this machine, and finds where it was going', () => {
  const { written, gateway } = parseSidecarConfig(redirected, 'sidecar.yaml');
  const rules = redirectRulesOf(written, 1337);
  const nft = formatScript(rulesScripts.nftables(rules).apply);
  assert.match(nft, /^nft -f - <<'EOF'\ntable inet countersign_sidecar\ndelete table inet/);
  assert.match(nft, /meta skuid 1337 return.*redirect to :15001.*dport 8080 redirect to :15008/s);
  const iptables = formatScript(rulesScripts.iptables(rules).apply);
  assert.match(iptables, /--uid-owner 1337 -j RETURN.*REDIRECT --to-ports 15001/s);
  assert.match(iptables, /ip6tables -w -t nat -C OUTPUT .* \|\| ip6tables -w -t nat -A OUTPUT/);
  const { outbound = { policy: 'REGISTRY_ONLY', destinations: [] } } = gateway.model;
  const resolve = async () => [];
  const registry = new OutboundRegistry(outbound, { resolve, clock: systemClock, log: noLog });
  const found = (address: string, port: number) => registry.byAddress(address, port)?.name;
  assert.equal(found('10.0.0.9', 8080), 'outbound-payments');
  assert.equal(found('10.96.0.200', 8080), 'outbound-payments');
  assert.equal(found('10.96.0.200', 8081), undefined);
  assert.equal(found('10.97.0.1', 8080), undefined);
});
