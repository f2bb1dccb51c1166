/** Writes what `npm run report` makes of a set: every figure in three formats, the claims, and the page. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { machinePackages } from '../../scripts/debian-packages.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { claimsMarkdown } from '../claims/claims-table.ts';
import { paperClaimsOf } from '../claims/claims.ts';
import { figures } from '../figures/all.ts';
import { contextOf, specOf } from '../figures/figure.ts';
import type { Language } from '../figures/text.ts';
import type { RunSet } from '../record/read-set.ts';
import { pdfOf, pngOf, svgOf } from './draw.ts';
import { pageOf } from './page.ts';

/** Installs a font and what makes PDF, where they are missing. @throws CodedError 'report' `not-drawn` */
export async function writeReport(
  set: RunSet,
  out: string,
  language: Language,
  say: (line: string) => void,
): Promise<void> {
  await ensurePackages(machinePackages.report[language], say);
  await mkdir(out, { recursive: true });
  const context = contextOf(set, language, false);
  for (const [index, figure] of figures.entries()) {
    say(`figure ${index + 1} of ${figures.length}: ${figure.name}`);
    const svg = await svgOf(figure.name, specOf(figure, context));
    const file = path.join(out, figure.name);
    await writeFile(`${file}.svg`, svg);
    await writeFile(`${file}.png`, await pngOf(svg));
    await writeFile(`${file}.pdf`, await pdfOf(svg));
  }
  await writeFile(path.join(out, 'claims.md'), claimsMarkdown(paperClaimsOf(set, language), language));
  await writeFile(path.join(out, 'index.html'), await pageOf(set, language));
}
