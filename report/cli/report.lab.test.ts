/** `npm run report` from recorded runs to files. Needs root once, to install librsvg2-bin and fonts; takes about 20 s. */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import sharp from 'sharp';
import { figures } from '../figures/all.ts';

const program = path.join(import.meta.dirname, 'report.ts');
const fixtures = path.join(import.meta.dirname, '../testing/fixtures');

for (const lang of ['en', 'ja']) {
  test.serial(`every figure as SVG, PNG and PDF (${lang})`, async (t) => {
    const out = await mkdtemp(path.join(os.tmpdir(), 'report-'));
    try {
      const run = await execa(process.execPath, [program, `${fixtures}/lab`, '--out', out, '--lang', lang]);
      // Of one run under writes, without an engine that has a list, and recorded before there was a queue.
      const drawn = figures.filter(
        ({ name }) => !/-(idle|ro)$|list-time|engines|queued|memory-held|gain/.test(name),
      );
      t.true(run.stdout.includes(`${drawn.length} figures of 1 run in`), run.stdout);
      t.true(run.stderr.includes('figure-18-list-time: no numbers for it'));
      const expected = drawn.flatMap(({ name }) => ['pdf', 'png', 'svg'].map((type) => `${name}.${type}`));
      t.deepEqual((await readdir(out)).sort(), [...expected, 'claims.md', 'index.html'].sort());
      for (const { name } of drawn) {
        const { width, height } = await sharp(path.join(out, `${name}.png`)).metadata();
        t.true(width > 600 && height > 300, `${name}: ${width} x ${height}`);
        const pdf = await readFile(path.join(out, `${name}.pdf`), 'latin1');
        t.true(pdf.startsWith('%PDF'));
        // Embedded, so that it looks the same wherever it is printed.
        t.regex(pdf, lang === 'ja' ? /IPAPGothic/ : /DejaVuSans/, name);
      }
    } finally {
      await rm(out, { recursive: true });
    }
  });
}

test.serial('bare figures with captions beside them, on a machine that has not what PDF takes', async (t) => {
  const out = await mkdtemp(path.join(os.tmpdir(), 'report-'));
  try {
    // Neither rsvg-convert nor what would say that it is missing.
    const { stdout, stderr } = await execa(
      process.execPath,
      [program, `${fixtures}/lab`, '--out', out, '--bare'],
      {
        env: { PATH: '/nonexistent' },
      },
    );
    t.regex(stdout, /figures of 1 run in/);
    t.regex(stderr, /no PDF is made: rsvg-convert is missing/);
    const files = await readdir(out);
    t.deepEqual(
      files.filter((name) => name.startsWith('figure-08')),
      ['figure-08-total-time.png', 'figure-08-total-time.svg', 'figure-08-total-time.txt'],
    );
    const caption = await readFile(path.join(out, 'figure-08-total-time.txt'), 'utf8');
    t.regex(caption, /^Figure 8\. Total migration time\n.*VM of 2 GiB/);
    t.false((await readFile(path.join(out, 'figure-08-total-time.svg'), 'utf8')).includes('VM of 2 GiB'));
  } finally {
    await rm(out, { recursive: true });
  }
});

test.serial('refuses runs of different conditions, and names them', async (t) => {
  const folders = [`${fixtures}/lab`, `${fixtures}/verified`];
  const { exitCode, stderr } = await execa(process.execPath, [program, ...folders], { reject: false });
  t.is(exitCode, 2);
  t.regex(stderr, /RAM comparison: false \| true/);
  t.is((await execa(process.execPath, [program], { reject: false })).exitCode, 2);
  t.is((await execa(process.execPath, [program, '/nonexistent'], { reject: false })).exitCode, 1);
});
