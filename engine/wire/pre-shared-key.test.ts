import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { makeKey, readKey, writeKey } from './pre-shared-key.ts';

function fileIn(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-key-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  return path.join(folder, 'key');
}

test('a key comes back from its file, which is its owner’s alone', (t) => {
  const file = fileIn(t);
  const key = makeKey();
  writeKey(file, key);
  t.is(statSync(file).mode & 0o777, 0o600);
  t.is(readKey(file).toString('hex'), key);
  t.is(readKey(file).length, 32);
  t.not(makeKey(), key);
});

test('a key is read from a descriptor', (t) => {
  const file = fileIn(t);
  const key = makeKey();
  writeKey(file, key);
  t.is(readKey(`fd:${openSync(file, 'r')}`).toString('hex'), key);
  t.throws(() => readKey('fd:999999'), { instanceOf: CodedError, name: 'KeyError', message: /EBADF/ });
});

test('a descriptor that holds no key stays open: it may be one that Node needs', (t) => {
  const file = fileIn(t);
  writeFileSync(file, 'something else');
  const descriptor = openSync(file, 'r');
  t.throws(() => readKey(`fd:${descriptor}`), { instanceOf: CodedError, message: /holds something else/ });
  t.notThrows(() => {
    closeSync(descriptor);
  });
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('a key that a full disk does not take leaves no file, so that the next one can be made', (t) => {
  const disk = fileIn(t);
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', disk]);
  try {
    writeFileSync(path.join(disk, 'fills it'), Buffer.alloc(4096));
    t.throws(
      () => {
        writeKey(path.join(disk, 'key'), makeKey());
      },
      { instanceOf: CodedError, message: /ENOSPC/ },
    );
    t.deepEqual(readdirSync(disk), ['fills it']);
  } finally {
    execFileSync('umount', [disk]);
  }
});

test('no file is written over', (t) => {
  const file = fileIn(t);
  writeFileSync(file, 'mine');
  t.throws(
    () => {
      writeKey(file, makeKey());
    },
    { instanceOf: CodedError, name: 'KeyError', message: /EEXIST/ },
  );
  t.is(readFileSync(file, 'utf8'), 'mine');
});

for (const mode of [0o640, 0o604, 0o660, 0o602]) {
  test(`a key of mode 0${mode.toString(8)} is refused`, (t) => {
    const file = fileIn(t);
    writeKey(file, makeKey());
    chmodSync(file, mode);
    t.throws(() => readKey(file), {
      instanceOf: CodedError,
      name: 'KeyError',
      message: /others may read or write/,
    });
  });
}

for (const [what, text, message] of [
  ['too short', 'ab'.repeat(31), /holds 62 hexadecimal digits/],
  ['too long', 'ab'.repeat(33), /holds 66 hexadecimal digits/],
  ['far too long', 'ab'.repeat(100_000), /hexadecimal digits, not the 64/],
  ['no digits', 'secret'.repeat(8), /holds something else/],
  ['two keys', `${'ab'.repeat(32)}\n${'cd'.repeat(32)}\n`, /holds something else/],
  ['empty', '', /holds 0 hexadecimal digits/],
] as const) {
  test(`a key that is ${what} is refused, and not shown`, (t) => {
    const file = fileIn(t);
    writeFileSync(file, text, { mode: 0o600 });
    const error = t.throws(() => readKey(file), { instanceOf: CodedError, name: 'KeyError', message });
    t.false(/ababab|secret/.test(error.message));
  });
}
