/** The command line: what is refused before anything is asked of a host, and with which exit status. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { execa } from 'execa';

const program = path.join(import.meta.dirname, 'main.ts');

const run = (...words: readonly string[]) => execa(process.execPath, [program, ...words], { reject: false });

const refused: readonly (readonly [RegExp, ...string[]])[] = [
  [/give a DOMAIN and a DESTINATION, or --source-qmp and --target-qmp/, 'migrate'],
  [/give a DOMAIN and a DESTINATION/, 'check', 'vm1'],
  [/give a DOMAIN and a DESTINATION/, 'migrate', '--source-qmp', '/run/a.qmp'],
  [
    /give a DOMAIN and a DESTINATION/,
    ...['migrate', 'vm1', 'qemu+ssh://dst/system', '--source-qmp', '/a', '--target-qmp', '/b'],
  ],
  [
    /--p2p, --persistent, --undefine-source and --verify are for libvirt/,
    'migrate',
    '--source-qmp',
    '/a',
    '--target-qmp',
    '/b',
    '--p2p',
  ],
  [
    /--method resume goes without/,
    'migrate',
    'vm1',
    'qemu+ssh://dst/system',
    '--method',
    'resume',
    '--verify',
  ],
  [
    /--before-switch goes with --method resume/,
    ...['migrate', '--source-qmp', '/a', '--target-qmp', '/b', '--before-switch', '50'],
  ],
  [/--bandwidth limits what QEMU sends/, 'migrate', 'vm1', 'qemu+ssh://dst/system', '--bandwidth', '5'],
  [
    /Allowed choices are balance, restore, resume, plain/,
    'migrate',
    'vm1',
    'qemu+ssh://dst/system',
    '--method',
    'fast',
  ],
  [/It must be a whole number from 1 on to 65535/, 'check', 'vm1', 'qemu+ssh://dst/system', '--port', '0'],
  [/qemu\+tcp:\/\/dst\/system is neither/, 'check', 'vm1', 'qemu+tcp://dst/system'],
  [/relative\.qmp is neither a path nor ssh/, 'check', '--source-qmp', 'relative.qmp', '--target-qmp', '/b'],
  [/--add-channel is for libvirt/, ...['check', '--source-qmp', '/a', '--target-qmp', '/b', '--add-channel']],
  [
    /--metrics \/nowhere\/a\.prom: \/nowhere is no folder/,
    ...['migrate', 'vm1', 'qemu+ssh://dst/system', '--metrics', '/nowhere/a.prom'],
  ],
  ...(
    [
      [/--storage images\/a\.img, --tls-dir pki, --engine bin\/engine: it is a path on the hosts/, 'migrate'],
      [/--storage images\/a\.img, --engine bin\/engine: it is a path on the hosts/, 'check'],
    ] as const
  ).map(
    ([message, command]) =>
      [
        message,
        ...[command, 'vm1', 'qemu+ssh://dst/system', '--storage', 'images/a.img', '--storage', 's1=/a'],
        ...['--storage', 's2=nbd+unix:///b?socket=/run/b', '--engine', 'bin/engine'],
        ...(command === 'migrate' ? ['--tls-dir', 'pki'] : []),
      ] as const,
  ),
  [
    /--agent run\/agent: it is a path on the hosts/,
    ...['check', '--source-qmp', '/a', '--target-qmp', '/b', '--agent', 'run/agent'],
  ],
  [/--agent is for VMs without libvirt/, 'check', 'vm1', 'qemu+ssh://dst/system', '--agent', '/run/agent'],
  [
    /--connect is for libvirt/,
    ...['migrate', '--source-qmp', '/a', '--target-qmp', '/b', '--connect', 'qemu:///system'],
  ],
  [
    /--method plain goes without --tls-dir, --storage and --agent/,
    ...['migrate', 'vm1', 'qemu+ssh://dst/system', '--method', 'plain', '--tls-dir', '/etc/pki/qemu'],
  ],
  [
    /--from-storage is for a source that is lost/,
    ...['recover', '--from-storage', '--source-qmp', '/a', '--target-qmp', '/b'],
  ],
  [
    /--restart-libvirt and --connect are for libvirt/,
    ...['recover', '--source-qmp', '/a', '--target-qmp', '/b', '--restart-libvirt'],
  ],
  [/required option '--to <uri>'/, 'evacuate'],
  [
    /It must be a whole number from 1 on to 64/,
    'evacuate',
    '--to',
    'qemu+ssh://dst/system',
    '--parallel',
    '0',
  ],
  [
    /--method resume goes without --verify/,
    'evacuate',
    '--to',
    'qemu+ssh://dst/system',
    '--method',
    'resume',
    '--verify',
  ],
  [/give a DOMAIN and a DESTINATION/, 'recover', 'vm1'],
  [/unknown option '--method'/, 'recover', 'vm1', 'qemu+ssh://dst/system', '--method', 'plain'],
  [/unknown command/, 'move'],
];

for (const [message, ...words] of refused)
  test(`refused: ${words.join(' ')}`, async (t) => {
    const { exitCode, stderr, stdout } = await run(...words);
    t.regex(stderr, message);
    t.is(exitCode, 2);
    t.is(stdout, '');
  });

test('the help says what the exit codes mean', async (t) => {
  const { exitCode, stdout } = await run('--help');
  t.is(exitCode, 0);
  t.regex(stdout, /3 in doubt: look on both/);
});

test('two places of which no disk is told are a wrong command line', async (t) => {
  const { exitCode, stderr } = await run(
    'check',
    'vm1',
    'qemu+ssh://dst/system',
    '--storage',
    '/a',
    '--storage',
    '/b',
  );
  t.regex(stderr, /all but one need the names of their disks: NAME=PLACE/);
  t.is(exitCode, 2);
});

test('a QEMU that is not there is no wrong command line', async (t) => {
  const { exitCode, stderr } = await run('check', '--source-qmp', '/nowhere/a', '--target-qmp', '/nowhere/b');
  t.regex(stderr, /QEMU does not answer at \/nowhere\/a/);
  t.is(exitCode, 1);
});

test('a recovery that nobody answers has begun nothing', async (t) => {
  const { exitCode, stderr } = await run(
    'recover',
    ...['--source-qmp', '/nowhere/a', '--target-qmp', '/nowhere/b'],
  );
  t.regex(stderr, /QEMU does not answer at \/nowhere\/a/);
  t.is(exitCode, 4);
});

test('Ctrl-C while hosts are asked leaves nothing behind', async (t) => {
  const folder = await mkdtemp(path.join('/tmp', 'ps-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const [programs, temporary] = ['bin', 'tmp'].map((name) => path.join(folder, name));
  for (const one of [programs, temporary]) await mkdir(one ?? '');
  await writeFile(path.join(programs ?? '', 'ssh'), `#!/bin/sh\necho asked >&2; exec sleep 5\n`, {
    mode: 0o755,
  });
  const child = execa(
    process.execPath,
    [program, 'check', '--source-qmp', 'ssh://src/run/a', '--target-qmp', 'ssh://dst/run/b'],
    { reject: false, env: { TMPDIR: temporary, PATH: `${programs ?? ''}:${process.env['PATH'] ?? ''}` } },
  );
  while ((await readdir(temporary ?? '')).length === 0) await sleep(20);
  child.kill('SIGINT');
  t.is((await child).exitCode, 130);
  t.deepEqual(await readdir(temporary ?? ''), []);
});
