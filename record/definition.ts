/** What a metric or a column means; the tables in results/README.md are made from these. */
export interface Definition {
  /** Unit of the value, or its kind where it has none: "ms", "bytes", "text". */
  readonly unit: string;
  readonly meaning: string;
}

/** Units of cells that are no number. */
const types = { text: 'text', 'true/false': 'boolean', 'ISO 8601': 'datetime' } as const;
type Types = typeof types;

/** What a cell is by its unit: a number, which is finite, or else one of these; a datetime is in UTC. */
export function typeOf(unit: string): Types[keyof Types] | 'number' {
  return Object.hasOwn(types, unit) ? types[unit as keyof Types] : 'number';
}

export type ValueOf<Unit> = Unit extends 'true/false' ? boolean : Unit extends keyof Types ? string : number;

export function definitionTable(title: string, definitions: Readonly<Record<string, Definition>>): string {
  const rows = Object.entries(definitions).map(
    ([name, { unit, meaning }]) => `| \`${name}\` | ${unit} | ${meaning} |`,
  );
  return [`| ${title} | unit | meaning |`, '|---|---|---|', ...rows].join('\n');
}
