import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import { localShell } from '../probes/local-shell.fixture.ts';
import { parseBootSteps, startVm } from './machine.ts';
import { firstVm } from './vm-place.ts';

test('boot steps are read between the server’s and the kernel’s lines', (t) => {
  const console =
    'x\r\nPOOLSHIFT 1.84 initrd\r\n[    2.1] EXT4-fs\r\nPOOLSHIFT 5.24 server-up\r\nPOOLSHIFT 9.10 server-exited 137';
  t.deepEqual(parseBootSteps(console), [
    { uptimeSeconds: 1.84, what: 'initrd' },
    { uptimeSeconds: 5.24, what: 'server-up' },
    { uptimeSeconds: 9.1, what: 'server-exited 137' },
  ]);
});

const machine: MachineDescription = {
  ...firstVm.machine,
  accelerator: 'tcg',
  memoryBytes: 2 ** 28,
  processors: 1,
  kernelPath: '/k',
  initrdPath: '/i',
  guestAddress: '10.30.0.10/24',
  bufferPoolBytes: 2 ** 27,
  disk: { kind: 'file', path: '/d' },
  role: 'source',
};

test('no machine is started once the signal has aborted, also while its host was asked', async (t) => {
  const controller = new AbortController();
  const asked: string[] = [];
  const host = {
    ...localShell,
    run: (command: string) => {
      asked.push(command);
      controller.abort(new Error('interrupted'));
      return Promise.resolve({ stdout: 'ActiveState=inactive\nMainPID=0\n', stderr: '', exitCode: 0 });
    },
  };
  await t.throwsAsync(startVm(host, machine, firstVm, controller.signal), { message: 'interrupted' });
  t.is(asked.length, 1);
});

for (const [when, started] of [
  ['as it started', '2026-11-30 12:00:00\nended\n'],
  ['when it had made its sockets', '2026-11-30 12:00:00\n'],
] as const)
  test(`a QEMU that has ended ${when} is not waited for`, async (t) => {
    const answers: readonly (readonly [to: RegExp, stdout: string])[] = [
      [/^systemctl show/, 'ActiveState=inactive\nMainPID=0\n'],
      [/systemd-run/, started],
      [/^journalctl .*2026-11-30 12:00:00/, 'could not open kernel file\n'],
      [/^systemctl stop/, ''],
    ];
    const host = {
      ...localShell,
      run: (command: string) => {
        const [, stdout] = answers.find(([to]) => to.test(command)) ?? [];
        if (stdout === undefined) throw new Error(`unexpected: ${command}`);
        return Promise.resolve({ stdout, stderr: '', exitCode: 0 });
      },
      forwardSocket: () => Promise.resolve('/nonexistent/qmp.sock'),
    };
    const error = await t.throwsAsync(startVm(host, machine), {
      instanceOf: CodedError,
      code: 'start-failed',
    });
    t.regex(error.message, /did not start:\ncould not open kernel file$/);
    t.regex(String(error.cause), /has ended|is not there/);
  });
