/** Writes what `npm run report` makes of a set: every figure in three formats, the claims, and the page. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isCoded } from '../../foundation/coded-error.ts';
import { writeWhole } from '../../record/whole-file.ts';
import { machinePackages } from '../../scripts/debian-packages.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { claimsMarkdown } from '../claims/claims-table.ts';
import { paperClaimsOf } from '../claims/claims.ts';
import { figures } from '../figures/all.ts';
import { linesOf } from '../figures/caption.ts';
import { drawnFigure, withTitleBlock } from '../figures/drawn-figure.ts';
import { contextOf } from '../figures/figure.ts';
import type { Language } from '../figures/text.ts';
import type { RunSet } from '../record/read-set.ts';
import { canDrawText, canMakePdf, pdfOf, pngOf, svgOf } from './draw.ts';
import { pageOf } from './page.ts';

interface ReportOptions {
  readonly language: Language;
  /** Figures without title block, whose words go into a text file beside each. */
  readonly bare: boolean;
}

/** What the machine lacks and cannot get, as for somebody who is not root, is left out with a word. */
async function preparePackages(language: Language, say: (line: string) => void): Promise<void> {
  try {
    await ensurePackages(machinePackages.report[language], say);
  } catch (error) {
    if (!isCoded(error, 'set-up')) throw error;
    const names = machinePackages.report[language].join(' ');
    say(`${names}: not all are installed, and this user cannot install them`);
  }
}

/**
 * Installs a font and what makes PDF, where they are missing and can be.
 * @returns as `writeReportFiles`, and throws as it does
 */
export async function writeReport(
  set: RunSet,
  out: string,
  options: ReportOptions,
  say: (line: string) => void,
): Promise<number> {
  await preparePackages(options.language, say);
  return writeReportFiles(set, out, options, say);
}

/**
 * Each file whole or not at all.
 * @returns how many figures there are; those that the set has no numbers for are not
 * @throws CodedError 'report' `not-drawn`; 'record' `not-writable`
 */
export async function writeReportFiles(
  set: RunSet,
  out: string,
  { language, bare }: ReportOptions,
  say: (line: string) => void,
): Promise<number> {
  const write = (file: string, content: string | Uint8Array): Promise<void> =>
    writeWhole(file, (unfinished) => writeFile(unfinished, content));
  const hasFont = await canDrawText();
  if (!hasFont) say('neither PNG nor PDF is made: this machine has no font');
  const isPdfMade = hasFont && (await canMakePdf());
  if (hasFont && !isPdfMade) say('no PDF is made: rsvg-convert is missing (Debian: librsvg2-bin)');
  await mkdir(out, { recursive: true });
  const context = contextOf(set, language, false);
  let count = 0;
  for (const [index, figure] of figures.entries()) {
    const file = path.join(out, figure.name);
    // Of an earlier report in the same folder, which may have had more to show.
    for (const type of ['svg', 'png', 'pdf', 'txt']) await rm(`${file}.${type}`, { force: true });
    const drawn = drawnFigure(figure, context);
    say(
      `figure ${index + 1} of ${figures.length}: ${figure.name}${drawn === undefined ? ': no numbers for it' : ''}`,
    );
    if (drawn === undefined) continue;
    count += 1;
    const svg = await svgOf(figure.name, bare ? drawn.spec : withTitleBlock(drawn));
    await write(`${file}.svg`, svg);
    if (hasFont) await write(`${file}.png`, await pngOf(svg));
    if (isPdfMade) await write(`${file}.pdf`, await pdfOf(svg));
    const { caption } = drawn;
    if (bare) await write(`${file}.txt`, `${[caption.title, ...linesOf(caption)].join('\n')}\n`);
  }
  await write(path.join(out, 'claims.md'), claimsMarkdown(paperClaimsOf(set, language), language));
  await write(path.join(out, 'index.html'), await pageOf(set, language));
  return count;
}
