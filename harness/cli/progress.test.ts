import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Progress } from './progress.ts';

/** What comes of a second of load, until the step has ended. */
async function written(isTTY: boolean, columns = 200, isMigrating = false): Promise<string> {
  let text = '';
  const progress = new Progress(
    { isTTY, columns, write: (more: string) => (text += more) },
    new Map([['load before the migration', 1000]]),
  );
  progress.event({ event: 'step-started', at_ms: 0, step: 'load before the migration' });
  const sample = (host: 'src' | 'dst' | 'client', metric: string, value: number, at_ms = 0): void => {
    progress.sample({ at_ms, host, metric, value });
  };
  sample('client', 'tps', 8);
  if (isMigrating)
    for (const at_ms of [0, 1000]) {
      sample('src', 'ram_remaining_bytes', 812e6, at_ms);
      sample('src', 'dirty_sync_count', 2, at_ms);
      sample('src', 'nic_out_bytes:migration', 15e3 * at_ms, at_ms);
      sample('dst', 'nic_in_bytes:storage', 12e3 * at_ms, at_ms);
    }
  while (isTTY && !text.includes('\r')) await sleep(50);
  progress.event({ event: 'step-ended', at_ms: 0, step: 'load before the migration', duration_ms: 1000 });
  return text;
}

test('a terminal shows the step, its figures and the time left also before the migration', async (t) => {
  const text = await written(true);
  t.regex(text, /\r +[\d.]+ s {2}load before the migration: \d+ s, about \d+ s left, 8\.0 TPS/);
  t.regex(text, /load before the migration: done in 1\.0 s\n$/);
});

test('without a terminal there are whole lines only', async (t) => {
  t.notRegex(await written(false), /[\r\u001b]/);
});

test('the line that changes is one line of the terminal, and keeps the time left', async (t) => {
  for (const columns of [200, 80, 60, 10]) {
    const lines = (await written(true, columns, true))
      .split(/\r/)
      .map((line) => line.replace('\u001b[K', ''));
    const changing = lines.filter((line) => line.includes(' s') && !line.endsWith('\n'));
    t.true(changing.length > 0, JSON.stringify(lines));
    for (const line of changing) t.true(line.length < columns, `${columns}: ${line}`);
    if (columns >= 80)
      t.regex(changing[0] ?? '', /load before the migration: \d+ s, about \d+ s left, .*about 31 s left$/);
    t.is(
      changing.some((line) =>
        line.endsWith(', migration 15.0 MB/s, storage 12.0 MB/s, 8.0 TPS, about 31 s left'),
      ),
      columns === 200,
    );
  }
});

test('a terminal that is stopped holds no run up, and gets all of it in the end', async (t) => {
  t.timeout(120_000);
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-progress-'));
  const at = (name: string): string => path.join(folder, name);
  const fixture = path.join(import.meta.dirname, 'progress.fixture.ts');
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
  const deadlineMs = performance.now() + 60_000;
  while (!existsSync(at('migrated')) && performance.now() < deadlineMs) await sleep(20);
  t.true(existsSync(at('migrated')));
  terminal.kill('SIGCONT');
  t.deepEqual(await once(terminal, 'close'), [0, null]);
  const lines = Buffer.concat(written).toString().split('\r\n');
  t.is(lines.filter((line) => line.endsWith('x'.repeat(100))).length, 2000);
  t.regex(lines.at(-2) ?? '', /migrate: done in 1\.0 s$/);
});
