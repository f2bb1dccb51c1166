/** Judged claims for the terminal. Pure. */
import { tableTexts } from '../report/claims/claim-texts.ts';
import type { JudgedClaim } from '../report/claims/claims.ts';

/** Two lines a claim: what it says, and what was found. */
export function claimsText(claims: readonly JudgedClaim[]): string {
  return claims
    .map(({ claim, rule, measured, verdict }) => {
      const found = measured === '' ? '' : `: ${measured} (${rule})`;
      return `  ${claim}\n    ${tableTexts[verdict].en}${found}`;
    })
    .join('\n');
}
