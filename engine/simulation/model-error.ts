/** How far predictions were from measured runs. `npm run predict` prints it; a test holds it to docs/results.md. */
import { type SimulatedEngine, simulatedEngines } from './simulate.ts';

/** Of the runs of one engine: predicted over measured total time, less 1, in percent. */
interface EngineError {
  readonly runs: number;
  readonly lowestPercent: number;
  readonly highestPercent: number;
}

interface ModelError {
  readonly measured: string;
  /** Undefined: not known. */
  readonly engines: Readonly<Record<SimulatedEngine, EngineError | undefined>>;
}

const error = (runs: number, lowestPercent: number, highestPercent: number): EngineError => ({
  runs,
  lowestPercent,
  highestPercent,
});

/** All with MariaDB under TCG and links of 125 Mbit/s. By recipe in docs/results.md; made with `npm run predict -- --against`. */
export const modelErrors: readonly ModelError[] = [
  {
    measured: '2026-11-26, VMs of 0.5 to 3 GiB (idle, ro, rw)',
    engines: {
      precopy: error(21, -4, 0),
      'multifd-zstd': error(9, 1, 4),
      restore: error(12, -10, 0),
      balance: error(9, -1, 4),
      resume: undefined,
    },
  },
];

/** Rows of cells, the first the head. */
export function modelErrorTable(): string[][] {
  return [
    ['engine', ...modelErrors.map(({ measured }) => measured)],
    ...simulatedEngines.map((engine) => [
      engine,
      ...modelErrors.map(({ engines }) => errorText(engines[engine])),
    ]),
  ];
}

function errorText(of: EngineError | undefined): string {
  if (of === undefined) return 'not known';
  const { runs, lowestPercent, highestPercent } = of;
  const range =
    lowestPercent === highestPercent
      ? signed(lowestPercent)
      : `${signed(lowestPercent)} to ${signed(highestPercent)}`;
  return `${runs} runs: ${range} %`;
}

const signed = (percent: number): string => `${percent > 0 ? '+' : ''}${percent}`;
