/** How wide text is, where there is no browser to ask. Pure. */
const wide = /[\u3000-\u9fff\uff00-\uff60]/;
const narrow = /[\s.,:;'|()\[\]ijlrtf1/·]/;

/** Em widths after DejaVu Sans and IPAPGothic. */
function emOf(character: string): number {
  if (wide.test(character)) return 1;
  return narrow.test(character) ? 0.4 : 0.64;
}

/** In pixels. */
export function textWidth(text: string, fontSize: number): number {
  return Array.from(text).reduce((em, character) => em + emOf(character), 0) * fontSize;
}

/** No line begins with one of these. */
const isEnding = /^[、。，．）」』】〕・：；！？%,.:;)\]]/;

/** What may stand on a line by itself: words, and in Japanese what a dictionary takes for one. */
function wordsOf(line: string): string[] {
  return line
    .split(/(?<= )/)
    .flatMap((word) =>
      wide.test(word)
        ? [...new Intl.Segmenter('ja', { granularity: 'word' }).segment(word)].map(({ segment }) => segment)
        : [word],
    );
}

/** Lines that are no wider than `width` pixels, unless one word is. */
export function wrapText(line: string, width: number, fontSize: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of wordsOf(line)) {
    const isFull = textWidth((current + word).trimEnd(), fontSize) > width;
    if (current !== '' && isFull && !isEnding.test(word)) {
      lines.push(current.trimEnd());
      current = '';
    }
    current += word;
  }
  return [...lines, current.trimEnd()];
}
