/** planned-cells.json: which runs a set was meant to have. A matrix writes it, a report reads it. Pure. */
import { z } from 'zod';
import { runName } from './matrix.ts';
import { memValues } from './paper-rows.ts';
import { scenarioNames } from './scenarios.ts';

/** In the set's folder. */
export const plannedCellsFile = 'planned-cells.json';

const oneOf = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, `valid: ${names.join(', ')}`);

const plannedRunSchema = z.object({
  scenario: oneOf(scenarioNames),
  mem: oneOf(memValues),
  // No list: a set that was made by another build is read, too, as its runs are.
  engine: z.string('valid: the name of an engine').regex(/^[a-z][a-z\d-]*$/, 'valid: the name of an engine'),
  repeat: z.int('valid: a whole number from 1 on').min(1, 'valid: a whole number from 1 on'),
});

export const plannedCellsSchema = z.object(
  {
    /** Version of this layout. */
    format: z.literal(1, 'valid: 1'),
    cells: z.array(plannedRunSchema, 'valid: a list of cells'),
  },
  'valid: an object with format and cells',
);

/** A run that a set was meant to have, `repeat` counting from 1. */
export type PlannedRun = Readonly<z.infer<typeof plannedRunSchema>>;

/** Every cell once, in the order in which it first comes. */
export function unionOfPlans(...plans: readonly (readonly PlannedRun[])[]): readonly PlannedRun[] {
  const byName = new Map<string, PlannedRun>();
  for (const cell of plans.flat()) if (!byName.has(runName(cell))) byName.set(runName(cell), cell);
  return [...byName.values()];
}

/** The file's content, a cell a line. */
export function plannedCellsText(cells: readonly PlannedRun[]): string {
  const lines = cells.map(
    ({ scenario, mem, engine, repeat }) => `    ${JSON.stringify({ scenario, mem, engine, repeat })}`,
  );
  const list = lines.length === 0 ? '[]' : `[\n${lines.join(',\n')}\n  ]`;
  return `{\n  "format": 1,\n  "cells": ${list}\n}\n`;
}

type ParsedPlan =
  | { readonly ok: true; readonly cells: readonly PlannedRun[] }
  /** Where it is wrong first, what stands there and what is valid: `cells[0].mem "5": valid: 4, 8, 16, 24`. */
  | { readonly ok: false; readonly problem: string };

/** Takes the file's content apart. */
export function parsePlannedCells(text: string): ParsedPlan {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    return { ok: false, problem: `not JSON: ${(error as SyntaxError).message}` };
  }
  const parsed = plannedCellsSchema.safeParse(given);
  if (parsed.success) return { ok: true, cells: unionOfPlans(parsed.data.cells) };
  const problems = parsed.error.issues.map(({ path, message }) => {
    const place = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
    const found = path.reduce<unknown>(
      (value, key) => (value as Readonly<Record<PropertyKey, unknown>>)[key],
      given,
    );
    const shown = found === undefined ? 'is not there' : JSON.stringify(found);
    return `${place === '' ? 'content' : place.replace(/^\./, '')} ${shown}: ${message}`;
  });
  const [first = ''] = problems;
  const more = problems.length === 1 ? '' : ` (and ${problems.length - 1} more)`;
  return { ok: false, problem: `${first}${more}` };
}
