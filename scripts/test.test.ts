/** The runner, on test files that hang, crash and fail, in a project of their own. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { runTests } from './run-tests.ts';

const root = path.dirname(import.meta.dirname);

const passes = `test('passes', (t) => { t.pass(); });`;
const hangs = `test('waits for ever', async (t) => { console.log('process ' + process.pid); setInterval(() => 0, 1000); await new Promise(() => 0); t.pass(); });`;

function project(t: ExecutionContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-runner-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  for (const name of ['ava.config.js', 'package.json'])
    cpSync(path.join(root, name), path.join(folder, name));
  for (const name of ['node_modules', 'scripts']) symlinkSync(path.join(root, name), path.join(folder, name));
  mkdirSync(path.join(folder, 'engine'));
  for (const [name, body] of Object.entries(files))
    writeFileSync(path.join(folder, 'engine', name), `import test from 'ava';\n${body}\n`);
  return folder;
}

async function npmTest(
  cwd: string,
  names: readonly string[],
): Promise<{ readonly lines: readonly string[]; readonly exitCode: number | undefined }> {
  const { all, exitCode } = await execa(process.execPath, [path.join(root, 'scripts/test.ts'), ...names], {
    cwd,
    all: true,
    reject: false,
  });
  return { lines: all.split('\n'), exitCode };
}

test('what passes, fails and is skipped is counted', async (t) => {
  const folder = project(t, {
    'a.test.ts': `${passes} test('fails', (t) => { t.is(1, 2); }); test.skip('is not run', (t) => { t.pass(); });`,
    'b.test.ts': passes,
  });
  const failing = await npmTest(folder, []);
  t.is(failing.lines.at(-1), '2 passed, 1 failed, 1 skipped');
  t.true(failing.lines.includes('failed: a › fails'), failing.lines.join('\n'));
  t.is(failing.exitCode, 1);
  const passing = await npmTest(folder, ['engine/b.test.ts']);
  t.is(passing.lines.at(-1), '1 passed, 0 failed, 0 skipped');
  t.is(passing.exitCode, 0);
});

test('a test that hangs is named and fails; the files after it are run', async (t) => {
  const folder = project(t, { 'a.lab.test.ts': `${passes} ${hangs}`, 'b.lab.test.ts': passes });
  const outcome = await runTests(['engine/a.lab.test.ts', 'engine/b.lab.test.ts'], {
    // One file after another.
    kind: 'lab',
    idleMs: 15_000,
    signal: new AbortController().signal,
    cwd: folder,
  });
  t.deepEqual(outcome.failures, [
    {
      name: 'engine/a.lab.test.ts: waits for ever',
      lines: ['had not ended when no test had ended for 15 s, and all were stopped'],
    },
  ]);
  t.is(outcome.passed, 2);
  t.deepEqual(outcome.neverRun, []);
  t.not(outcome.exitCode, 0);
});

test('a test that ends its process is named', async (t) => {
  const folder = project(t, {
    'a.test.ts': `test('is killed', async (t) => { process.kill(process.pid, 'SIGKILL'); t.pass(); });`,
    'b.test.ts': passes,
  });
  const { lines, exitCode } = await npmTest(folder, []);
  t.true(lines.includes('failed: engine/a.test.ts: is killed'), lines.join('\n'));
  // ava counts the process, too.
  t.is(lines.at(-1), '1 passed, 2 failed, 0 skipped');
  t.is(exitCode, 1);
});

test('a file without a test fails', async (t) => {
  const folder = project(t, { 'a.test.ts': '', 'b.test.ts': passes });
  const { lines, exitCode } = await npmTest(folder, []);
  t.is(lines.at(-1), '1 passed, 1 failed, 0 skipped', lines.join('\n'));
  t.is(exitCode, 1);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  test(`${signal} ends the tests and names those that ran`, async (t) => {
    const folder = project(t, { 'a.test.ts': `${passes} ${hangs}`, 'b.test.ts': passes });
    const child = execa(process.execPath, [path.join(root, 'scripts/test.ts')], {
      cwd: folder,
      reject: false,
    });
    for await (const line of child) if (line === 'ok a › passes') child.kill(signal);
    const { stdout, stderr, exitCode } = await child;
    t.true(
      stdout.includes(
        'failed: engine/a.test.ts: waits for ever\nhad not ended when a signal ended the tests',
      ),
      stdout,
    );
    t.is(exitCode, 1);
    const processId = Number(/process (\d+)/.exec(stderr)?.[1]);
    t.true(processId > 0, stderr);
    // It has its signal, and ends at once or never.
    while (existsSync(`/proc/${processId}`)) await sleep(50);
  });

test('a name that is neither a suite nor a test file is refused', async (t) => {
  const { lines, exitCode } = await npmTest(project(t, { 'a.test.ts': passes }), ['no-suite']);
  t.regex(lines.join('\n'), /^neither a suite \(unit, .*\) nor a test file: no-suite$/);
  t.is(exitCode, 2);
});
