import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as turn } from 'node:timers/promises';
import { noLog } from '@countersign/base';
import { makeEntry } from '../entries/entry.ts';
import { EntryBook } from '../entries/entry-book.ts';
import type { Kernel } from '../peer/kernel.ts';
import { PeerProcess } from '../peer/peer-process.ts';
import { accountName } from './accounts.ts';
import { Attested } from './attest-process.ts';
import { containerIdOf, parseCgroups, podUidOf, systemdUnitOf } from './cgroups.ts';
import { executableOf } from './executable.ts';
import { kindOfSelector } from './selector-kinds.ts';

const container = '4bd9'.repeat(16);
const pod = '2c48913c-b29f-11e7-9350-020968147796';

describe('control groups', () => {
  const cases = [
    {
      what: 'a systemd service',
      text: '0::/system.slice/nginx.service\n',
      unit: 'nginx.service',
    },
    {
      what: 'a service of a user, whom nobody keeps from calling it like one of the machine',
      text: '0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n',
      unit: 'user@1000.service',
    },
    {
      what: 'a group of a user that is named like a container of a pod',
      text: `0::/user.slice/user-1000.slice/user@1000.service/kubepods-pod${pod}.slice/docker-${container}.scope\n`,
      unit: 'user@1000.service',
    },
    {
      what: 'a service within a container that has a systemd of its own',
      text: `0::/system.slice/docker-${container}.scope/system.slice/nginx.service\n`,
      unit: `docker-${container}.scope`,
      container,
    },
    {
      what: 'a service on v1',
      text: '3:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/nginx.service\n',
      unit: 'nginx.service',
    },
    {
      what: 'Docker with the systemd driver',
      text: `0::/system.slice/docker-${container}.scope\n`,
      unit: `docker-${container}.scope`,
      container,
    },
    {
      what: 'Docker with cgroupfs, on v1',
      text: `12:memory:/docker/${container}\n3:cpu,cpuacct:/docker/${container}\n1:name=systemd:/\n`,
      container,
    },
    {
      what: 'containerd under Kubernetes with the systemd driver',
      text: [
        '0::/kubepods.slice/kubepods-burstable.slice',
        `kubepods-burstable-pod${pod.replaceAll('-', '_')}.slice`,
        `cri-containerd-${container}.scope\n`,
      ].join('/'),
      unit: `cri-containerd-${container}.scope`,
      container,
      pod,
    },
    {
      what: 'Kubernetes with cgroupfs',
      text: `0::/kubepods/besteffort/pod${pod}/${container}\n`,
      container,
      pod,
    },
    {
      what: 'Kubernetes on v1, where each controller has a path of its own',
      text: [
        `11:memory:/kubepods/burstable/pod${pod}/${container}`,
        `10:cpu,cpuacct:/kubepods/burstable/pod${pod}/${container}`,
        `1:name=systemd:/kubepods/burstable/pod${pod}/${container}`,
        '0::/system.slice/containerd.service\n',
      ].join('\n'),
      container,
      pod,
    },
    {
      what: 'CRI-O with the systemd driver on v1, whose monitor has a scope beside it',
      text: [
        '1:name=systemd:/kubepods.slice/kubepods-besteffort.slice',
        `kubepods-besteffort-pod${pod.replaceAll('-', '_')}.slice/crio-${container}.scope\n`,
      ].join('/'),
      unit: `crio-${container}.scope`,
      container,
      pod,
    },
    {
      what: 'a static pod, whose UID is a hash',
      text: `0::/kubepods/burstable/pod${'0f'.repeat(16)}/${container}\n`,
      container,
      pod: '0f'.repeat(16),
    },
    { what: 'the root group', text: '0::/\n' },
    { what: 'names that only look alike', text: `0::/apod${pod}x/${container}0/x.services\n` },
  ];
  for (const each of cases) {
    it(`tell ${each.what}`, () => {
      const groups = parseCgroups(each.text);
      assert.equal(systemdUnitOf(groups), each.unit);
      assert.equal(containerIdOf(groups), each.container);
      assert.equal(podUidOf(groups), each.pod);
    });
  }
});

describe('selectors', () => {
  it('of this very process are what the system says of it', async () => {
    const { uid, gid, username } = userInfo();
    const attested = new Attested(processWith({}), noLog);
    assert.ok((await attested.learnAll()).ok);
    const executable = hash('sha256', readFileSync(process.execPath));
    for (const selector of [
      `unix:uid:${uid}`,
      `unix:gid:${gid}`,
      `unix:user:${username}`,
      `unix:path:${readFileSync('/proc/self/cmdline').length > 0 ? process.execPath : ''}`,
      `unix:sha256:${executable}`,
    ]) {
      assert.ok(attested.selectors.has(selector), selector);
    }
    assert.equal(await accountName('/etc/passwd', 4_000_000_000), undefined);
  });

  it('say no path of a program that stands there in a mount namespace of its own alone', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'countersign-mount-'));
    const [sleep, known] = [realpathSync('/bin/sleep'), realpathSync('/usr/bin/env')];
    const program = join(directory, 'program');
    copyFileSync(sleep, program);
    const inNamespace = `mount --bind ${program} ${known} && exec ${known} 60`;
    const child = spawn('unshare', ['--mount', 'sh', '-c', inNamespace], { stdio: 'ignore' });
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => resolve());
      child.once('error', () => resolve());
    });
    const { pid } = child;
    const isRunning = () => {
      try {
        return readlinkSync(`/proc/${pid}/exe`) === known;
      } catch {
        return false;
      }
    };
    try {
      while (pid !== undefined && child.exitCode === null && !isRunning()) await turn(5);
      if (pid === undefined || child.exitCode !== null) {
        return t.skip('no mount namespace of its own is to be had here');
      }
      assert.equal(executableOf(pid), undefined);
      assert.equal(executableOf(process.pid), process.execPath);
    } finally {
      child.kill('SIGKILL');
      await ended;
      rmSync(directory, { recursive: true });
    }
  });

  it('of a kind or form that nobody knows are refused, with the nearest that there is', () => {
    for (const [selector, reason] of [
      ['unix:uidd:1', /nearest is "unix:uid"/],
      ['uid:1000', /is of no kind/],
      ['unix:uid:root', /expected one such as "1000"/],
      ['unix:path:bin/x', /expected one such as "\/usr/],
      ['unix:sha256:ABC', /ERR|expected/],
      ['systemd:id:nginx', /nginx.service/],
      ['', /is of no kind/],
    ] as const) {
      const found = kindOfSelector(selector);
      assert.ok(!found.ok, selector);
      assert.match(found.detail, reason);
    }
  });
});

describe('a process that has ended', () => {
  it('was not attested: what stands under its number by then is of another', async () => {
    let reads = 0;
    const process = processWith({ hasEnded: () => reads++ >= 0 });
    const book = new EntryBook(noLog);
    const { uid } = userInfo();
    const facts = { hint: '', dns: [], federatesWith: [] };
    const selectors = [`unix:uid:${uid}`];
    book.replace('file', [makeEntry({ spiffeId: 'spiffe://example.org/a', selectors, ...facts })]);
    const answer = await book.entitled(new Attested(process, noLog));
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'ERR_AGENT_PEER');
  });

  it('gives back its handle once, and is not alive after that', () => {
    const released: number[] = [];
    const process = processWith({ release: (handle) => released.push(handle) });
    assert.ok(process.isAlive());
    process.release();
    process.release();
    assert.deepEqual(released, [7]);
    assert.equal(process.isAlive(), false);
  });
});

function processWith(more: Partial<Kernel>): PeerProcess {
  const { uid, gid } = userInfo();
  const kernel: Kernel = {
    credentialsOf: () => ({ pid: process.pid, uid, gid }),
    processOf: () => 7,
    hasEnded: () => false,
    release: () => {},
    knowsPeerHandle: true,
    ...more,
  };
  return new PeerProcess(kernel, { pid: process.pid, uid, gid }, 7);
}
