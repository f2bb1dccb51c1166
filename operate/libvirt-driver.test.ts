import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { VmState } from './course.ts';
import { lookAtDomain } from './domain-recovery.ts';
import {
  domainState,
  jobFiguresOf,
  libvirtDriver,
  migrateArguments,
  unreachedLibvirts,
  vmStateOf,
} from './libvirt-driver.ts';

const least = {
  domain: '-vm1',
  sourceUri: 'qemu:///system',
  destinationUri: 'qemu+ssh://dst/system',
  p2p: false,
  persistent: false,
  undefineSource: false,
  suspend: false,
};

test("virsh's arguments", (t) => {
  t.deepEqual(migrateArguments(least), [
    ...['-c', 'qemu:///system', 'migrate', '--live', '--', '-vm1', 'qemu+ssh://dst/system'],
  ]);
  t.is(
    migrateArguments({
      ...least,
      migrateUri: 'unix:///run/m.sock',
      p2p: true,
      persistent: true,
      undefineSource: true,
      suspend: true,
      bandwidthMibPerSecond: 3,
      switchoverMibPerSecond: 28,
      timeoutSeconds: 60,
    }).join(' '),
    '-c qemu:///system migrate --live --p2p --persistent --undefinesource --suspend --migrateuri unix:///run/m.sock --bandwidth 3 ' +
      '--available-switchover-bandwidth 28 --timeout 60 --timeout-suspend -- -vm1 qemu+ssh://dst/system',
  );
});

test('early resume is libvirt’s post-copy, begun after the shortest time that virsh takes', (t) => {
  t.is(
    migrateArguments({ ...least, early: true }).join(' '),
    '-c qemu:///system migrate --live --postcopy --timeout 1 --timeout-postcopy -- -vm1 qemu+ssh://dst/system',
  );
});

test("what virsh says of a domain's state", (t) => {
  t.is(vmStateOf(0, 'running\n'), 'running');
  t.is(vmStateOf(0, 'idle'), 'running');
  t.is(vmStateOf(0, 'paused'), 'paused');
  t.is(vmStateOf(0, 'shut off'), 'ended');
  t.is(vmStateOf(0, 'in shutdown'), 'unknown');
  t.is(vmStateOf(1, ''), 'unknown');
  t.is(vmStateOf(undefined, ''), 'unknown');
});

const uuid = '6d3b9f5c-0d2e-4a6f-9c56-1f0f6a1b2c3d';
const other = '11111111-2222-3333-4444-555555555555';

/** A virsh that answers so, by its first word after the connection. What libvirt loses on the way cannot be had otherwise. */
async function withVirsh(script: string, body: () => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-virsh-'));
  const before = process.env['PATH'] ?? '';
  try {
    await writeFile(
      path.join(folder, 'virsh'),
      `#!/bin/bash\nwhile [[ $1 == -* ]]; do [ "$1" = -c ] && shift; shift; done\n${script}\n`,
      { mode: 0o755 },
    );
    process.env['PATH'] = `${folder}:${before}`;
    await body();
  } finally {
    process.env['PATH'] = before;
    await rm(folder, { recursive: true });
  }
}

const noDomain = 'echo "error: failed to get domain" >&2; exit 1';

test.serial(
  'a domain that is not there has ended only where the list of all has been read and lacks it',
  async (t) => {
    const lists: readonly (readonly [string, VmState])[] = [
      [`echo ${other}`, 'ended'],
      ['true', 'ended'],
      [`echo ${other}; echo ${uuid}`, 'unknown'],
      ['exit 1', 'unknown'],
    ];
    for (const [list, state] of lists)
      await withVirsh(`case $1 in domstate) ${noDomain} ;; list) ${list} ;; esac`, async () => {
        t.is(await domainState('qemu:///system', uuid), state, list);
      });
  },
);

test.serial('who is not reached is named, with what virsh says', async (t) => {
  await withVirsh(
    '[ "$1" = uri ] || exit 2; echo "error: failed to connect to the hypervisor" >&2; exit 1',
    async () => {
      t.deepEqual(await unreachedLibvirts(['qemu:///system']), [
        { uri: 'qemu:///system', says: 'failed to connect to the hypervisor' },
      ]);
    },
  );
  await withVirsh('echo qemu:///system', async () => {
    t.deepEqual(await unreachedLibvirts(['qemu:///system']), []);
  });
});

test.serial(
  'memory is brought from a source only where its libvirt says that the VM does not run there',
  async (t) => {
    const look = () =>
      lookAtDomain({ name: 'vm1', uuid }, { source: 'qemu:///system', destination: 'qemu+ssh://dst/system' });
    const answers = (state: string): string =>
      `case $* in uri) echo it ;; 'domstate -- '*) ${state} ;; *--reason*) echo 'paused (post-copy failed)' ;; *) exit 1 ;; esac`;
    for (const [state, runsAtSource] of [
      ['running', true],
      ['paused', false],
    ] as const)
      await withVirsh(answers(`echo ${state}`), async () => {
        t.deepEqual(await look(), { runsAtSource, targetMigration: 'postcopy-paused' });
      });
    await withVirsh(answers('exit 1'), async () => {
      await t.throwsAsync(look(), { message: /does not say whether vm1 runs at the source/ });
    });
    await withVirsh('echo "error: no way" >&2; exit 1', async () => {
      await t.throwsAsync(look(), { message: /virsh does not reach qemu:\/\/\/system from here: no way/ });
    });
  },
);

test.serial('a downtime that a failed migration has set is put back', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-virsh-'));
  const log = path.join(folder, 'log');
  const script = `echo "$@" >> ${log}; case $1 in migrate-getmaxdowntime) echo 300 ;; migrate) exit 1 ;; esac`;
  await withVirsh(script, async () => {
    t.false((await libvirtDriver({ ...least, domain: uuid, maxDowntimeMs: 1 }).migrate()).succeeded);
  });
  const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line.includes('setmaxdowntime'));
  t.deepEqual(lines, [`migrate-setmaxdowntime -- ${uuid} 1`, `migrate-setmaxdowntime -- ${uuid} 300`]);
  await rm(folder, { recursive: true });
});

test("a job's figures", (t) => {
  const text =
    'Job type:         Unbounded   \nmemory_remaining: 1048576\nmemory_dirty_rate: 10\nmemory_page_size: 4096\ndowntime: 120\ndowntime_net: 9\n';
  t.deepEqual(jobFiguresOf(text), { remainingBytes: 1048576, dirtyBytesPerSecond: 40_960, downtimeMs: 120 });
  t.deepEqual(jobFiguresOf('Job type: None\n'), {});
});
