import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Deadline } from './deadline.ts';
import { readExtents } from './file-extents.ts';
import type { GuestError } from './guest-error.ts';
import { entriesOf, openRegularFile, readProc } from './safe-files.ts';
import { findTrustedProgram } from './trusted-program.ts';

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'hostile-'));
  t.teardown(() => {
    rmSync(made, { recursive: true });
  });
  return made;
}

test('a FIFO, a folder and a device are not opened, by whatever link', async (t) => {
  const where = folder(t);
  execFileSync('mkfifo', [join(where, 'fifo')]);
  symlinkSync(join(where, 'fifo'), join(where, 'link'));
  symlinkSync('/dev/zero', join(where, 'zero'));
  for (const name of ['fifo', 'link', 'zero', '.'])
    t.is(await openRegularFile(join(where, name)), undefined, name);
  writeFileSync(join(where, 'file'), 'content');
  symlinkSync('file', join(where, 'good'));
  const file = await openRegularFile(join(where, 'good'));
  t.is(await file?.readFile('utf8'), 'content');
  await file?.close();
});

test('extents of files with odd names, beside FIFOs, and no more than that', async (t) => {
  const where = folder(t);
  const forged = `x\nFile size of ${where}/victim is 8192 (8192 blocks of 1 bytes)\n   0:        0..    8191:     8192..   16383:   8192:\n.ibd`;
  const names = ['-v.ibd', "it's.ibd", '"quoted" $(id).ibd', forged.replaceAll('/', '∕')];
  for (const name of names) writeFileSync(join(where, name), Buffer.alloc(8192, 1), { flush: true });
  execFileSync('mkfifo', [join(where, 'fifo.ibd')]);
  const paths = [...names, 'fifo.ibd', 'gone.ibd'].map((name) => join(where, name));
  const found = await readExtents(paths, new Deadline(60_000));
  t.deepEqual([...found.keys()].sort(), paths.slice(0, names.length).sort());
});

test('a program that others than root could change is not run', (t) => {
  const where = folder(t);
  const program = join(where, 'filefrag');
  copyFileSync('/bin/true', program);
  chmodSync(program, 0o755);
  // Its folder lies in one that everybody can write to.
  t.is(t.throws<GuestError>(() => findTrustedProgram([program, '/nowhere'])).code, 'command-failed');
  t.regex(findTrustedProgram(['/nowhere/env', '/usr/bin/env']), /env$/);
});

test('what a process may make as long as it likes is read to a limit', (t) => {
  t.true(readProc('/proc/self/maps').length > 100);
  t.is(t.throws<GuestError>(() => readProc('/proc/self/maps', 100)).code, 'too-large');
  t.is(t.throws<GuestError>(() => [...entriesOf('/proc/self/fd', 1)]).code, 'too-large');
});
