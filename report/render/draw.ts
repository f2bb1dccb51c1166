/** Draws a Vega-Lite specification to files. */
import { execa } from 'execa';
import sharp from 'sharp';
import { parse, resetSVGDefIds, View, Warn } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Spec } from '../figures/figure.ts';
import { escapeHtml } from './html.ts';
import { useOwnTextWidth } from './vega-text-width.ts';

useOwnTextWidth();

/** Vega counts 72 pixels an inch. */
const pixelsPerInch = 144;

/** @throws CodedError 'report' `not-drawn`: the specification is wrong; Vega-Lite's warnings count, as it drops what it warns of */
export async function svgOf(name: string, spec: Spec): Promise<string> {
  try {
    const warnings: string[] = [];
    const collect = (...messages: unknown[]) => {
      warnings.push(messages.map(String).join(' '));
      return logger;
    };
    const logger = {
      level: (value?: number) => (value === undefined ? Warn : logger),
      error: collect,
      warn: collect,
      info: () => logger,
      debug: () => logger,
    };
    // Vega-Lite checks it when compiling: figures are put together from parts that have no type of their own.
    const compiled = compile(spec as unknown as TopLevelSpec, { logger });
    if (warnings.length > 0) throw new Error(warnings.join('; '));
    const view = new View(parse(compiled.spec), { renderer: 'none' });
    // Ids of clip paths count on from one figure to the next, and would make the same figure differ.
    resetSVGDefIds();
    const svg = await view.toSVG();
    view.finalize();
    return named(svg, compiled.spec.description ?? name);
  } catch (error) {
    throw new CodedError('report', 'not-drawn', `${name}: ${(error as Error).message}`, { cause: error });
  }
}

/** One picture with a name, rather than every mark of it, for who hears it. */
function named(svg: string, title: string): string {
  return svg.replace('<svg ', `<svg role="img" aria-label="${escapeHtml(title)}" `);
}

export async function pngOf(svg: string): Promise<Buffer> {
  // A palette of 256 colours holds these few and the edges between them, at a third of the size.
  return await sharp(Buffer.from(svg), { density: pixelsPerInch })
    .png({ compressionLevel: 9, palette: true, colours: 256 })
    .toBuffer();
}

/** Whether this machine has a font: without, one letter looks like any other. */
export async function canDrawText(): Promise<boolean> {
  const letterOf = async (letter: string): Promise<Buffer> => {
    const text = `<text x="2" y="16" font-size="16" font-family="sans-serif">${letter}</text>`;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">${text}</svg>`;
    return await sharp(Buffer.from(svg)).raw().toBuffer();
  };
  return !(await letterOf('A')).equals(await letterOf('B'));
}

/** Whether `pdfOf` has what it needs. */
export async function canMakePdf(): Promise<boolean> {
  return !(await execa('rsvg-convert', ['--version'], { reject: false })).failed;
}

/** Needs rsvg-convert (Debian: librsvg2-bin). */
export async function pdfOf(svg: string): Promise<Uint8Array> {
  const { stdout } = await execa('rsvg-convert', ['--format', 'pdf'], { input: svg, encoding: 'buffer' });
  return stdout;
}
