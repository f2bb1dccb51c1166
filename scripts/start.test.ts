/** The first thing that every command calls, with an npm that takes as long as the test wants; commands are really killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';

/** Says when it begins and ends, and works until `finish` is there, in a process that it has started. */
const npm = `#!/bin/bash
echo "begin $$" >> log
rm -rf node_modules; mkdir -p node_modules
( until [ -e finish ]; do sleep 0.05; done ) &
echo $! >> pids
echo $$ >> pids
wait $!
[ "$(cat result 2> /dev/null)" = "" ] || exit "$(cat result)"
mkdir -p node_modules/node-linux-${process.arch}/bin
ln -s ${process.execPath} node_modules/node-linux-${process.arch}/bin/node
echo "end $$" >> log
`;

class Checkout {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'poolshift-start-'));
  readonly #children: ChildProcess[] = [];

  constructor(t: ExecutionContext) {
    t.timeout(120_000);
    mkdirSync(path.join(this.folder, 'scripts'));
    for (const file of ['start.mjs', 'install.mjs'])
      cpSync(path.join(import.meta.dirname, file), path.join(this.folder, 'scripts', file));
    mkdirSync(path.join(this.folder, 'bin'));
    this.write('bin/npm', npm);
    chmodSync(path.join(this.folder, 'bin/npm'), 0o755);
    this.write('npm-shrinkwrap.json', '{"packages": {"": {}}}');
    this.write('package.json', '{}');
    this.write('program.mjs', "console.log('the program runs')");
    t.teardown(async () => {
      this.write('finish', '');
      for (const child of this.#children) child.kill('SIGKILL');
      while (this.#npmProcesses().some(isAlive)) await sleep(50);
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  write(file: string, text: string): void {
    writeFileSync(path.join(this.folder, file), text);
  }

  lines(file: string): string[] {
    const at = path.join(this.folder, file);
    return existsSync(at) ? readFileSync(at, 'utf8').split('\n').filter(Boolean) : [];
  }

  #npmProcesses(): number[] {
    return this.lines('pids').map(Number);
  }

  get npmIsAtWork(): boolean {
    return this.#npmProcesses().some(isAlive);
  }

  start(): {
    child: ChildProcess;
    output: () => string;
    ended: Promise<number | string | null>;
    /** All of its output is there; what it has left running keeps that up. */
    closed: Promise<unknown>;
  } {
    const child = spawn(process.execPath, ['scripts/start.mjs', 'program.mjs'], {
      cwd: this.folder,
      env: { ...process.env, PATH: `${path.join(this.folder, 'bin')}:${process.env['PATH'] ?? ''}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text: Buffer) => (output += text.toString()));
    const ended = new Promise<number | string | null>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve(signal ?? code);
      });
    });
    return { child, output: () => output, ended, closed: once(child, 'close') };
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await sleep(20);
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const) {
  test(`${signal} in mid-installation ends npm, and the next command repairs it`, async (t) => {
    const checkout = new Checkout(t);
    const first = checkout.start();
    await checkout.until(() => checkout.lines('pids').length === 2);
    first.child.kill(signal);
    t.is(await first.ended, signal);
    if (signal !== 'SIGKILL') t.false(checkout.npmIsAtWork, 'nothing of npm outlives the command');
    await checkout.until(() => !checkout.npmIsAtWork);
    t.false(existsSync(path.join(checkout.folder, 'node_modules/.poolshift-installed')));
    checkout.write('finish', '');
    const second = checkout.start();
    t.is(await second.ended, 0, second.output());
    await second.closed;
    t.regex(second.output(), /installing/);
    t.regex(second.output(), /the program runs/);
  });
}

test('two commands at once install once, and a killed one hands over', async (t) => {
  const checkout = new Checkout(t);
  const first = checkout.start();
  await checkout.until(() => checkout.lines('pids').length === 2);
  const others = [checkout.start(), checkout.start()];
  await checkout.until(() => others.every(({ output }) => output().includes('waiting for it')));
  first.child.kill('SIGKILL');
  await checkout.until(() => checkout.lines('log').length === 2);
  checkout.write('finish', '');
  for (const other of others) {
    t.is(await other.ended, 0, other.output());
    await other.closed;
    t.true(other.output().includes('the program runs'));
  }
  const pid = checkout.lines('log')[1]?.split(' ')[1] ?? '';
  t.deepEqual(checkout.lines('log').slice(1), [`begin ${pid}`, `end ${pid}`]);
});

test('who waits can be ended, and leaves the one that installs alone', async (t) => {
  const checkout = new Checkout(t);
  const first = checkout.start();
  await checkout.until(() => checkout.lines('pids').length === 2);
  const second = checkout.start();
  await checkout.until(() => second.output().includes('waiting for it'));
  second.child.kill('SIGTERM');
  t.is(await second.ended, 'SIGTERM');
  t.true(checkout.npmIsAtWork);
  checkout.write('finish', '');
  t.is(await first.ended, 0, first.output());
});

test('an installation that failed, or lost its Node, is made again', async (t) => {
  const checkout = new Checkout(t);
  checkout.write('finish', '');
  checkout.write('result', '7');
  const failing = checkout.start();
  t.is(await failing.ended, 1);
  await failing.closed;
  t.regex(failing.output(), /npm ci failed with exit code 7/);
  checkout.write('result', '');
  t.is(await checkout.start().ended, 0);
  rmSync(path.join(checkout.folder, `node_modules/node-linux-${process.arch}`), { recursive: true });
  const repairing = checkout.start();
  t.is(await repairing.ended, 0, repairing.output());
  await repairing.closed;
  t.regex(repairing.output(), /installing/);
  const settled = checkout.start();
  t.is(await settled.ended, 0);
  t.notRegex(settled.output(), /installing/);
});
