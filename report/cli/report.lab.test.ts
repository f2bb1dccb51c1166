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
      t.regex(run.stdout, /18 figures of 1 runs/);
      const expected = figures.flatMap(({ name }) => ['pdf', 'png', 'svg'].map((type) => `${name}.${type}`));
      t.deepEqual((await readdir(out)).sort(), [...expected, 'claims.md', 'index.html'].sort());
      for (const { name } of figures) {
        const { width, height } = await sharp(path.join(out, `${name}.png`)).metadata();
        t.true(width > 600 && height > 300, `${name}: ${width} x ${height}`);
        const pdf = await readFile(path.join(out, `${name}.pdf`), 'latin1');
        t.true(pdf.startsWith('%PDF'));
        // Embedded, so that it looks the same wherever it is printed.
        t.regex(pdf, lang === 'ja' ? /IPAGothic/ : /DejaVuSans/, name);
      }
    } finally {
      await rm(out, { recursive: true });
    }
  });
}

test.serial('refuses runs of different conditions, and names them', async (t) => {
  const folders = [`${fixtures}/lab`, `${fixtures}/verified`];
  const { exitCode, stderr } = await execa(process.execPath, [program, ...folders], { reject: false });
  t.is(exitCode, 2);
  t.regex(stderr, /RAM comparison: false \| true/);
  t.is((await execa(process.execPath, [program], { reject: false })).exitCode, 2);
  t.is((await execa(process.execPath, [program, '/nonexistent'], { reject: false })).exitCode, 1);
});
