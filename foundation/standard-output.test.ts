import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const module = path.join(import.meta.dirname, 'standard-output.ts');
const program = `
import { watchStandardOutput } from '${module}';
const unwritten = watchStandardOutput();
for (let line = 0; line < 20_000; line += 1) console.log(line);
console.error(await unwritten());
`;

for (const [what, redirection, said] of [
  ['a full disk is told', '> /dev/full', /^standard output is not written: ENOSPC: /],
  ['a reader that has gone wants no more', '| true', /^undefined$/],
  ['what is taken is no problem', '> /dev/null', /^undefined$/],
] as const) {
  test(what, async (t) => {
    const { stderr } = await execa('bash', [
      '-c',
      `"$0" --input-type=module -e "$1" ${redirection}`,
      process.execPath,
      program,
    ]);
    t.regex(stderr, said);
  });
}
