import test from 'ava';
import { cpioArchive, padding, type CpioEntry } from './cpio.ts';

const entries: readonly CpioEntry[] = [
  { kind: 'directory', path: 'etc' },
  { kind: 'file', path: '/etc/odd', content: Buffer.from('abcde') },
  { kind: 'file', path: 'etc/empty', mode: 0o600, content: Buffer.alloc(0) },
  { kind: 'symlink', path: 'etc/link', target: 'odd' },
  { kind: 'character-device', path: 'console', major: 5, minor: 1 },
];

/** A reader of its own, written from the kernel's description of the format. */
function readArchive(archive: Buffer): { name: string; mode: number; content: string; size: number }[] {
  const found = [];
  for (let at = 0; ;) {
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    if (archive.toString('latin1', at, at + 6) !== '070701') throw new Error(`no header at ${at}`);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString('latin1', at + 110, at + 110 + nameSize - 1);
    at = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (name === 'TRAILER!!!') return found;
    found.push({ name, mode, size, content: archive.toString('latin1', at, at + size) });
    at = Math.ceil((at + size) / 4) * 4;
  }
}

test('an archive holds its entries, padded to four bytes', (t) => {
  t.deepEqual(readArchive(cpioArchive(entries)), [
    { name: 'etc', mode: 0o040755, size: 0, content: '' },
    { name: 'etc/odd', mode: 0o100644, size: 5, content: 'abcde' },
    { name: 'etc/empty', mode: 0o100600, size: 0, content: '' },
    { name: 'etc/link', mode: 0o120777, size: 3, content: 'odd' },
    { name: 'console', mode: 0o020600, size: 0, content: '' },
  ]);
  t.is(cpioArchive(entries).length % 4, 0);
});

test('the same entries give the same bytes', (t) => {
  t.deepEqual(cpioArchive(entries), cpioArchive(entries));
});

test('padding reaches the next multiple of four', (t) => {
  t.deepEqual(
    [0, 1, 2, 3, 4].map((length) => padding(length).length),
    [0, 3, 2, 1, 0],
  );
});
