import test from 'ava';
import { matrixRuns } from './matrix.ts';
import { type PlannedRun, parsePlannedCells, plannedCellsText, unionOfPlans } from './planned-cells.ts';

const cells: readonly PlannedRun[] = matrixRuns({
  scenarios: ['ro', 'rw'],
  mems: ['4', '16'],
  engines: ['precopy', 'multifd-zstd'],
  repeat: 2,
});

test('what was written is read, in its order', (t) => {
  t.is(cells.length, 16);
  t.deepEqual(parsePlannedCells(plannedCellsText(cells)), { ok: true, cells });
  t.deepEqual(parsePlannedCells(plannedCellsText([])), { ok: true, cells: [] });
});

test('a line is a cell', (t) => {
  t.is(
    plannedCellsText(cells.slice(0, 1)),
    '{\n  "format": 1,\n  "cells": [\n    {"scenario":"ro","mem":"4","engine":"precopy","repeat":1}\n  ]\n}\n',
  );
});

test('a union has every cell once', (t) => {
  t.deepEqual(unionOfPlans(cells.slice(0, 10), cells.slice(5)), cells);
  t.deepEqual(unionOfPlans([...cells, ...cells]), cells);
  t.deepEqual(unionOfPlans(), []);
});

test('an engine that this build does not know is read', (t) => {
  const foreign = [{ scenario: 'rw', mem: '4', engine: 'teleport', repeat: 1 }] as const;
  t.deepEqual(parsePlannedCells(plannedCellsText(foreign)), { ok: true, cells: foreign });
});

const cell = { scenario: 'rw', mem: '4', engine: 'precopy', repeat: 1 };
for (const [what, content, said] of [
  ['half a file', '{"format": 1, "cells": [', /^not JSON: /],
  ['something else', '[]', /^content \[\]: valid: an object with format and cells$/],
  ['another format', { format: 2, cells: [] }, /^format 2: valid: 1$/],
  ['no cells', { format: 1 }, /^cells is not there: valid: a list of cells$/],
  ['a wrong scenario', { ...cell, scenario: 'rq' }, /^cells\[1\]\.scenario "rq": valid: idle, ro, rw, tpcc$/],
  ['a memory row as a number', { ...cell, mem: 4 }, /^cells\[1\]\.mem 4: valid: 4, 8, 16, 24$/],
  ['an odd engine', { ...cell, engine: '../x' }, /^cells\[1\]\.engine "\.\.\/x": valid: the name of an/],
  ['a cell of nothing', { scenario: 'rw' }, /^cells\[1\]\.mem is not there: valid: 4, .*\(and 2 more\)$/],
  ['no repeat', { ...cell, repeat: 0 }, /^cells\[1\]\.repeat 0: valid: a whole number from 1 on$/],
] as const satisfies readonly (readonly [string, string | object, RegExp])[]) {
  test(`${what} is refused with its place, what stands there and what is valid`, (t) => {
    const whole = typeof content === 'object' && 'scenario' in content;
    const given = whole ? { format: 1, cells: [cell, content] } : content;
    const parsed = parsePlannedCells(typeof given === 'string' ? given : JSON.stringify(given));
    t.false(parsed.ok);
    if (!parsed.ok) t.regex(parsed.problem, said);
  });
}
