/** Runs one seed after another, a few at a time, and keeps what failed. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { sourceWentOn, endOf, violationsIn } from './checker.ts';
import { endOfEarly, violationsInEarly } from './early-checker.ts';
import type { History } from './history.ts';
import type { SoakRow } from './table.ts';

/** One form of the test: what a seed means, and how it is run. */
export interface SoakForm {
  readonly vm: SoakRow['vm'];
  /** Runs that go on beside each other. */
  readonly parallel: number;
  /** @throws Error when the run could not be made */
  run(seed: number, signal: AbortSignal): Promise<SoakResult>;
}

interface SoakResult {
  readonly fault: string;
  readonly moment: string;
  readonly settings: SoakRow['settings'];
  /** As it was drawn, for the evidence. */
  readonly plan: unknown;
  readonly history: History;
  readonly pagesCompared?: number | undefined;
  /** More evidence, by name. */
  readonly logs?: () => Promise<Readonly<Record<string, string>>>;
}

interface CampaignOptions {
  readonly seeds: Iterable<number>;
  /** No run starts after this. */
  readonly untilMs: number;
  /** Folder for the evidence of runs that failed. */
  readonly out: string;
  readonly signal: AbortSignal;
  readonly onRow: (row: SoakRow) => void;
}

/** Settles when all runs that started are over. */
export async function runCampaign(form: SoakForm, options: CampaignOptions): Promise<void> {
  const seeds = options.seeds[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    while (!options.signal.aborted && performance.now() < options.untilMs) {
      const next = seeds.next();
      if (next.done === true) return;
      const row = await runSeed(form, next.value, options);
      if (row !== undefined) options.onRow(row);
    }
  };
  await Promise.all(Array.from({ length: form.parallel }, worker));
}

async function runSeed(
  form: SoakForm,
  seed: number,
  { out, signal }: CampaignOptions,
): Promise<SoakRow | undefined> {
  const startedMs = performance.now();
  try {
    const result = await form.run(seed, signal);
    const isEarly = result.history.early !== undefined;
    const violations = (isEarly ? violationsInEarly : violationsIn)(result.history);
    const end = (isEarly ? endOfEarly : endOf)(result.history);
    const { source, destination } = result.history;
    const row: SoakRow = {
      seed,
      vm: form.vm,
      fault: result.fault,
      moment: result.moment,
      reached: result.history.faultAtMs !== undefined,
      end: violations.length > 0 ? 'violated' : (end ?? 'violated'),
      exits: [source.end, destination.end],
      inDoubt: [source, destination].some(({ events }) => events.some(({ event }) => event === 'in-doubt')),
      ...(!isEarly && sourceWentOn(result.history) ? { sourceWentOn: true } : {}),
      ...(result.history.early?.recovered === true ? { recovered: true } : {}),
      violations,
      durationMs: Math.round(performance.now() - startedMs),
      ...(result.pagesCompared === undefined ? {} : { pagesCompared: result.pagesCompared }),
      ...databaseOf(result.history),
      settings: result.settings,
    };
    if (violations.length > 0) await keepEvidence(path.join(out, `seed-${seed}`), result, row);
    return row;
  } catch (error) {
    if (signal.aborted) return undefined;
    return {
      ...{ seed, vm: form.vm, fault: '', moment: '', reached: false, end: 'violated', exits: [] },
      ...{ inDoubt: false, violations: [], settings: {} },
      durationMs: Math.round(performance.now() - startedMs),
      failure: error instanceof Error ? error.message : String(error),
    };
  }
}

function databaseOf({ database }: History): Pick<SoakRow, 'database'> {
  if (database === undefined) return {};
  const { startedAnew, acknowledged, lost } = database;
  return { database: { startedAnew, acknowledged, lost } };
}

async function keepEvidence(
  folder: string,
  { plan, history, logs }: SoakResult,
  row: SoakRow,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, value: unknown): void => {
    writeFileSync(path.join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
  };
  write('row.json', row);
  write('plan.json', plan);
  write('history.json', history);
  // A host that does not answer any more must not cost the rest.
  for (const [name, text] of Object.entries((await logs?.().catch(() => undefined)) ?? {}))
    writeFileSync(path.join(folder, `${name}.log`), `${text}\n`);
}
