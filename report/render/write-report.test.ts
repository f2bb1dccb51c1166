import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const program = `
const [modules, run, out] = [process.argv.slice(1, 4), process.argv[4], process.argv[5]];
const [{ readSet }, { writeReportFiles }, { whatIsWrong }] = await Promise.all(modules.map((one) => import(one)));
// What draws pictures takes back that Node ignores it.
process.on('SIGXFSZ', () => undefined);
const set = await readSet([run], { withoutSamples: true });
await writeReportFiles(set, out, { language: 'en', bare: false }, () => undefined).catch((error) =>
  console.log(whatIsWrong(error)),
);
`;

test('a page for which there is no room is named, and no half of it is left', async (t) => {
  const out = await mkdtemp(path.join(os.tmpdir(), 'poolshift-report-'));
  t.teardown(() => rm(out, { recursive: true }));
  const files = ['../record/read-set.ts', 'write-report.ts', '../../record/what-is-wrong.ts'];
  // Figures are smaller than that, and the page is larger.
  const { stdout } = await execa('bash', [
    ...['-c', 'ulimit -f 500; exec "$@"', 'bash', process.execPath, '--input-type=module', '-e', program],
    ...files.map((file) => path.join(import.meta.dirname, file)),
    path.join(import.meta.dirname, '../../results/reference-2026-11-28-smoke/rw-4-precopy-r1'),
    out,
  ]);
  const page = path.join(out, 'index.html');
  t.true(stdout.startsWith(`cannot write ${page}: EFBIG: `), stdout);
  t.true(existsSync(path.join(out, 'figure-08-total-time.svg')));
  t.false(existsSync(page));
});
