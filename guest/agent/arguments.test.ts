/** Of the agent's command line: what is taken, and what is said of what is not. */
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { help, parseArguments } from './arguments.ts';

test('without options the port is served', (t) => {
  t.deepEqual(parseArguments([]), {
    port: '/dev/virtio-ports/poolshift.agent.0',
    without: [],
    repeat: 1,
    pid: undefined,
    does: 'serve',
  });
  t.is(parseArguments(['--summary', '--pid', '17']).pid, 17);
  t.is(parseArguments(['--calibrate']).does, 'calibrate');
  t.is(parseArguments(['--calibrate', '--report']).does, 'report');
});

for (const [wrong, says] of [
  [['--repeat', '0'], /--repeat 0: a whole number from 1 on/],
  [['--repeat', 'many'], /--repeat many/],
  [['--pid', '-1'], /pid/],
  [['--pid', '1e3'], /--pid 1e3/],
  [['--without', 'nothing'], /--without nothing is not known; valid: .*innodb/],
  [['--report'], /--report goes with --calibrate/],
  [['--sumary'], /--sumary/],
  [['summary'], /summary/],
] as const)
  test(`wrong: ${wrong.join(' ')}`, (t) => {
    t.throws(() => parseArguments(wrong), { message: says });
  });

test('the program says its options, and ends with 2 where one is wrong', async (t) => {
  const run = (...args: readonly string[]) =>
    execa(process.execPath, [path.join(import.meta.dirname, 'main.ts'), ...args], { reject: false });
  const asked = await run('--help');
  t.is(asked.exitCode, 0);
  t.is(asked.stdout, help);
  const wrong = await run('--repeat', 'x');
  t.is(wrong.exitCode, 2);
  t.regex(wrong.stderr, /^poolshift agent: --repeat x/);
});
