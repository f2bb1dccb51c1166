/** The paper's claims, each held against a set of runs. Pure. */
import type { Language } from '../figures/text.ts';
import type { RunSet } from '../record/read-set.ts';
import { claimTexts, missingReasons, type ClaimId, type MissingReason } from './claim-texts.ts';
import { notConvergedText } from './not-converged.ts';
import { pairsOf, type Pair } from './paired-cells.ts';
import { paperClaims } from './paper-claims.ts';

/**
 * `…-in-single-runs`: of a cell that it rests on less than three runs have what is measured. The rule is met, or not, by these
 * runs; noise cannot be told from an effect.
 */
type Verdict =
  'holds' | 'does-not-hold' | 'holds-in-single-runs' | 'does-not-hold-in-single-runs' | 'missing';

/** Below so many values of a cell noise cannot be told from an effect. */
export const minRuns = 3;

/** What a set says of a claim, whoever made that. */
export interface JudgedClaim {
  /** In brief. */
  readonly claim: string;
  /** What is measured for it, and when it counts as holding. */
  readonly rule: string;
  /** Numbers; if missing, the reason, or nothing. */
  readonly measured: string;
  readonly verdict: Verdict;
  /** Cells that have what the claim needs, of those that the paper, or the recipe, has. */
  readonly cells: { readonly measured: number; readonly wanted: number };
}

export interface JudgedPaperClaim extends JudgedClaim {
  readonly id: ClaimId;
}

/** Every claim of the paper with what the set says of it. */
export function paperClaimsOf(set: Pick<RunSet, 'runs'>, language: Language): JudgedPaperClaim[] {
  const pairs = pairsOf(set);
  return (Object.keys(paperClaims) as ClaimId[]).map((id) => {
    const { inPaper, evaluate, ofConverged } = paperClaims[id];
    const outcome = evaluate(pairs);
    const isMissing = outcome.pairs === 0;
    const cut = ofConverged === true ? notConvergedOf(pairs, language) : '';
    return {
      id,
      claim: claimTexts[id].claim[language],
      rule: claimTexts[id].rule[language],
      measured: isMissing
        ? missingText(outcome.missing, language)
        : [outcome.measured, cut].filter((text) => text !== '').join('; '),
      verdict: isMissing ? 'missing' : verdictOf(outcome.holds, outcome.fewest < minRuns),
      cells: { measured: outcome.pairs, wanted: inPaper },
    };
  });
}

function notConvergedOf(pairs: readonly Pair[], language: Language): string {
  const all = pairs.flatMap(({ scenario, paperRowGib, precopy, restore }) => {
    const place = `${scenario} ${paperRowGib}`;
    return [
      { method: 'pre-copy', place, runs: precopy.runs },
      { method: 'restore', place, runs: restore.runs },
    ];
  });
  return notConvergedText(all, language);
}

const missingText = (reason: MissingReason | undefined, language: Language): string =>
  reason === undefined ? '' : missingReasons[reason][language];

export function verdictOf(holds: boolean, tooFew: boolean): Verdict {
  if (tooFew) return holds ? 'holds-in-single-runs' : 'does-not-hold-in-single-runs';
  return holds ? 'holds' : 'does-not-hold';
}
