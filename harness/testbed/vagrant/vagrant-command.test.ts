/** Vagrant does not go on without us; a stand-in for Vagrant, that sleeps. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { execa } from 'execa';

const caller = `
const { vagrantCommand } = await import(${JSON.stringify(path.join(import.meta.dirname, 'vagrant-command.ts'))});
for await (const line of vagrantCommand(process.cwd())\`up 2>&1\`) console.log(line);`;

/** A process that has ended and that nobody has asked for yet has no command line. */
async function runs(pid: string): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const)
  test(`Vagrant ends with a process that ends by ${signal}`, async (t) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-vagrant-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await writeFile(path.join(folder, 'vagrant'), '#!/bin/sh\necho $1 $$\nexec sleep 600\n');
    await chmod(path.join(folder, 'vagrant'), 0o755);
    const calling = execa(process.execPath, ['--input-type=module', '--eval', caller], {
      env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
      reject: false,
    });
    let pid = '';
    for await (const line of calling) {
      [, pid = ''] = /^up (\d+)$/.exec(line) ?? [];
      t.true(await runs(pid), line);
      calling.kill(signal);
    }
    t.is((await calling).signal, signal);
    for (let attempt = 0; attempt < 100 && (await runs(pid)); attempt += 1) await sleep(50);
    t.false(await runs(pid));
  });
