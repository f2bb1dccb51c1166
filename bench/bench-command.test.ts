import { globSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const benches = globSync('*.bench.ts', { cwd: import.meta.dirname });

test('every benchmark says what it takes, and measures nothing when it is given something else', async (t) => {
  t.true(benches.length > 3);
  await Promise.all(
    benches.map(async (file) => {
      const run = (option: string) =>
        execa(process.execPath, [path.join(import.meta.dirname, file), option], { reject: false });
      const [help, wrong] = await Promise.all([run('--help'), run('--twice')]);
      t.like(help, { exitCode: 0, stderr: '' }, file);
      t.regex(help.stdout, /--json .*--record .*Exit codes/su, file);
      t.like(wrong, { exitCode: 2, stdout: '' }, file);
      t.regex(wrong.stderr, /unknown option '--twice'/u, file);
    }),
  );
});
