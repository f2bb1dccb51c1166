import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';

const keeper = path.join(import.meta.dirname, 'keeper.ts');

/** Starts a process with a keeper, and a child that is marked; prints the child's id, and waits. */
const owner = (folder: string, rest: string): string => `
import { spawn } from 'node:child_process';
import { Keeper } from ${JSON.stringify(keeper)};
const folder = ${JSON.stringify(folder)};
const keeper = Keeper.start({ marker: 'POOLSHIFT_KEPT=' + folder, files: [folder] });
const child = spawn('sleep', ['3600'], { env: { ...process.env, POOLSHIFT_KEPT: folder }, stdio: 'ignore', detached: true });
child.once('spawn', () => { console.log(child.pid); ${rest} });
setInterval(() => undefined, 1000);
`;

async function start(t: ExecutionContext, rest = '') {
  t.timeout(120_000);
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-kept-'));
  writeFileSync(path.join(folder, 'file'), '');
  const process_ = spawn(process.execPath, ['--input-type=module', '--eval', owner(folder, rest)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: process_.stdout }), 'line')) as [string];
  const child = Number(line);
  t.teardown(() => {
    process_.kill('SIGKILL');
    if (isOurs(child, folder)) process.kill(child, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, process: process_, child };
}

function isOurs(pid: number, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`POOLSHIFT_KEPT=${folder}`);
  } catch {
    return false;
  }
}

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux('a process that is killed leaves neither its children nor its files', async (t) => {
  const { folder, process: killed, child } = await start(t);
  t.true(isOurs(child, folder));
  killed.kill('SIGKILL');
  // The folder goes last; a keeper that does nothing lets this run into the test's limit.
  while (existsSync(folder)) await sleep(20);
  while (isOurs(child, folder)) await sleep(20);
  t.pass();
});

onLinux('one that has removed all in good order, or says so, is left alone', async (t) => {
  const {
    folder,
    process: ended,
    child,
  } = await start(t, 'keeper.release(); setTimeout(process.exit, 200);');
  await once(ended, 'exit');
  await sleep(500);
  t.true(existsSync(folder));
  t.true(isOurs(child, folder));
});
