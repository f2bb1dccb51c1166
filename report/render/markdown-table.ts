/** A table in Markdown, its columns of even width, as prettier wants them. Pure. */

/** @param rows the first is the head */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|')));
  const [head = [], ...body] = escaped;
  const widths = head.map((_, index) => Math.max(3, ...escaped.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[], filler = ' '): string =>
    `| ${widths.map((width, index) => (cells[index] ?? '').padEnd(width, filler)).join(' | ')} |`;
  return [line(head), line([], '-'), ...body.map((row) => line(row)), ''].join('\n');
}
