import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  parseRecoveryFile,
  readRecoveryFile,
  type RecoveryFile,
  writeRecoveryFile,
} from './recovery-file.ts';

const content: RecoveryFile = {
  ram: [
    { kind: 'pid', pid: 7 },
    { kind: 'file', path: '/dev/shm/ram', block: 'ram0' },
  ],
  processes: [{ pid: 7, startTime: '12345' }],
  memoryMap: 'FlatView #0\n',
  ramSectionId: 2,
  blocks: [{ name: 'ram0', pageCount: 49_152 }],
};

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(path.join(os.tmpdir(), 'poolshift-recovery-'));
  t.teardown(() => {
    rmSync(made, { recursive: true });
  });
  return made;
}

test('what is written is read, over an older one, and only its user may', (t) => {
  const made = folder(t);
  const file = path.join(made, 'outgoing.recovery');
  writeRecoveryFile(file, { ...content, ramSectionId: 3 });
  writeRecoveryFile(file, content);
  t.deepEqual(parseRecoveryFile(readRecoveryFile(file).bytes.toString(), file), content);
  t.is(statSync(file).mode & 0o777, 0o600);
  t.deepEqual(readdirSync(made), ['outgoing.recovery']);
});

test('a file cut anywhere, or of another kind, is refused, and it says what is wrong', (t) => {
  const file = path.join(folder(t), 'recovery');
  writeRecoveryFile(file, content);
  const text = readFileSync(file, 'utf8').trimEnd();
  for (let length = 0; length < text.length; length += 1)
    t.throws(() => parseRecoveryFile(text.slice(0, length), file), { name: 'RecoveryError', code: 'file' });
  const good = JSON.parse(text) as Record<string, unknown>;
  for (const wrong of [
    { format: 'other' },
    { version: 2 },
    { ram: [] },
    { blocks: [] },
    { ramSectionId: -1 },
  ])
    t.throws(() => parseRecoveryFile(JSON.stringify({ ...good, ...wrong }), file), {
      code: 'file',
      message: new RegExp(`at ${Object.keys(wrong)[0] ?? ''}`),
    });
});

test('a link and a FIFO are not followed and not waited for: whoever may write to the folder may have put them there', (t) => {
  const made = folder(t);
  const others = path.join(made, 'others.recovery');
  writeRecoveryFile(others, content);
  const file = path.join(made, 'outgoing.recovery');
  symlinkSync(others, file);
  t.throws(() => readRecoveryFile(file), { code: 'file', message: /ELOOP/ });
  rmSync(file);
  execFileSync('mkfifo', [file]);
  t.throws(() => parseRecoveryFile(readRecoveryFile(file).bytes.toString(), file), {
    code: 'file',
    message: /is not a recovery file/,
  });
});

test('one that cannot be written or read is an error that names it', (t) => {
  const file = path.join(folder(t), 'missing', 'recovery');
  t.throws(
    () => {
      writeRecoveryFile(file, content);
    },
    { code: 'file', message: /missing\/recovery/ },
  );
  t.throws(() => readRecoveryFile(file), { code: 'file', message: /ENOENT/ });
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('on a disk that is nearly full it is not written, and what was there before stays', (t) => {
  const disk = folder(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk]);
  try {
    const file = path.join(disk, 'recovery');
    writeRecoveryFile(file, content);
    t.throws(
      () => {
        writeRecoveryFile(file, { ...content, memoryMap: 'x'.repeat(40_000) });
      },
      { code: 'file', message: /ENOSPC/ },
    );
    t.deepEqual(readdirSync(disk), ['recovery']);
    t.deepEqual(parseRecoveryFile(readRecoveryFile(file).bytes.toString(), file), content);
  } finally {
    execFileSync('umount', [disk]);
  }
});
