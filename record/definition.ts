/** What a metric or a column means; the tables in results/README.md are made from these. */
export interface Definition {
  /** Unit of the value, or its kind where it has none: "ms", "bytes", "text". */
  readonly unit: string;
  readonly meaning: string;
}

export interface ColumnDefinition extends Definition {
  /** Of a cell's text. A number is finite, a datetime is ISO 8601 in UTC. */
  readonly type: 'text' | 'number' | 'boolean' | 'datetime';
}

export function definitionTable(title: string, definitions: Readonly<Record<string, Definition>>): string {
  const rows = Object.entries(definitions).map(
    ([name, { unit, meaning }]) => `| \`${name}\` | ${unit} | ${meaning} |`,
  );
  return [`| ${title} | unit | meaning |`, '|---|---|---|', ...rows].join('\n');
}
