import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';

const fixture = path.join(import.meta.dirname, 'patient-output.fixture.ts');

test('a terminal that is not read holds nobody up, and gets all of it in the end', async (t) => {
  t.timeout(120_000);
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-output-'));
  const at = (name: string): string => path.join(folder, name);
  // Its terminal is read by script(1) alone.
  const terminal = spawn('script', [
    ...['--quiet', '--return', '--command', `${process.execPath} ${fixture} ${folder}`, '/dev/null'],
  ]);
  t.teardown(() => {
    terminal.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  const written: Buffer[] = [];
  terminal.stdout.on('data', (chunk: Buffer) => written.push(chunk));
  while (!existsSync(at('ready'))) await sleep(20);
  terminal.kill('SIGSTOP');
  writeFileSync(at('go'), '');
  while (!existsSync(at('full'))) await sleep(20);
  terminal.kill('SIGCONT');
  t.deepEqual(await once(terminal, 'close'), [0, null]);
  const lines = Buffer.concat(written).toString().split('\r\n');
  t.deepEqual(lines.slice(-2), ['the end', '']);
  t.true(lines.slice(0, -2).every((line) => line === 'x'.repeat(100)));
});
