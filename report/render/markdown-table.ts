/** A table in Markdown: written with columns of even width, as prettier wants them, and read. Pure. */

/** @param rows the first is the head */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|')));
  const [head = [], ...body] = escaped;
  const widths = head.map((_, index) => Math.max(3, ...escaped.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[], filler = ' '): string =>
    `| ${widths.map((width, index) => (cells[index] ?? '').padEnd(width, filler)).join(' | ')} |`;
  return [line(head), line([], '-'), ...body.map((row) => line(row)), ''].join('\n');
}

/** Head and rows of the first table among these lines, without the line between them; none without a table. */
export function markdownRows(lines: readonly string[]): string[][] {
  const from = lines.findIndex((line) => line.startsWith('| '));
  if (from === -1) return [];
  const rest = lines.slice(from);
  const ending = rest.findIndex((line) => !line.startsWith('|'));
  const [head, , ...body] = rest.slice(0, ending === -1 ? rest.length : ending);
  return [head ?? '', ...body].map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
}
