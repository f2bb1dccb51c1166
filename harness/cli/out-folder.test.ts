import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { checkOut } from './out-folder.ts';

test('a place that is no folder is refused, with what is in the way', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-out-'));
  try {
    const file = path.join(folder, 'README.md');
    writeFileSync(file, '');
    checkOut(folder);
    checkOut(path.join(folder, 'a', 'b'));
    for (const wrong of [file, path.join(file, 'x'), '/proc/self/x'])
      t.throws(
        () => {
          checkOut(wrong);
        },
        { name: 'CommandError', message: /^--out .*(is no folder|cannot be written to)$/ },
        wrong,
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
