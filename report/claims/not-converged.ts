/** Runs that did not converge, where claims meet them. Pure. */
import type { Language } from '../figures/text.ts';
import { convergedInPart, neverConverged } from '../record/cells.ts';
import type { Run } from '../record/read-set.ts';
import { tableTexts } from './claim-texts.ts';

export const isCut = ({ row }: Run): boolean => row.outcome === 'not-converged';

/** When it was cancelled: it would have taken at least so long. */
export const timeLimitMs = ({ manifest }: Run): number => manifest.configuration.maxTimeSeconds * 1000;

/** One method's runs of one place. */
interface MethodRuns {
  readonly method: string;
  readonly place: string;
  readonly runs: readonly Run[];
}

/** "pre-copy did not converge: rw 4, rw 8 (1 / 3)", a part for each method; empty where all runs did. */
export function notConvergedText(all: readonly MethodRuns[], language: Language): string {
  return [...Map.groupBy(all, ({ method }) => method)]
    .flatMap(([method, ofMethod]) => {
      const places = ofMethod.flatMap(({ place, runs }) => {
        if (neverConverged({ runs })) return [place];
        const part = convergedInPart({ runs });
        return part === undefined ? [] : [`${place} (${part.runs - part.converged} / ${part.runs})`];
      });
      if (places.length === 0) return [];
      return [`${tableTexts['not-converged'][language].replace('{}', method)}: ${places.join(', ')}`];
    })
    .join('; ');
}
