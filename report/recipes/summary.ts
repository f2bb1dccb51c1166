/**
 * The table that opens docs/results.md: how many claims of each block hold, and which do not. It is made of the blocks as
 * they stand on the page, so that a block that is written anew brings the table along without a look at the other sets. Pure.
 */
import { fewNote } from '../claims/claims-table.ts';
import { markdownRows, markdownTable } from '../render/markdown-table.ts';

/** What of a block is looked at. */
interface Block {
  readonly title: string;
  readonly anchor: string;
  readonly lines: readonly string[];
}

const [begin, end] = ['<!-- summary -->', '<!-- /summary -->'];

/** The page's words with the table between its two marks; without marks, as they are. */
export function withSummary(head: string, blocks: readonly Block[]): string {
  const from = head.indexOf(begin);
  const to = head.indexOf(end);
  if (from === -1 || to < from) return head;
  return `${head.slice(0, from + begin.length)}\n\n${summary(blocks)}\n${head.slice(to)}`;
}

/** A line for each experiment; those without runs are named below. */
function summary(blocks: readonly Block[]): string {
  const read = blocks.map(({ title, anchor, lines }) => ({
    link: `[${title}](#${anchor})`,
    runs: lines.map((line) => /^(?:\*\*)?(\d[\d a-z]*) runs?\b/.exec(line)?.[1]).find(Boolean),
    claims: claimsIn(lines),
  }));
  const rows = read.flatMap(({ link, runs, claims }) => {
    if (runs === undefined) return [];
    const [holding, failing] = [true, false].map((holds) =>
      claims.filter(({ verdict }) => verdict.startsWith('holds') === holds),
    );
    const mark = claims.some(({ verdict }) => verdict.endsWith('*')) ? '\\*' : '';
    const refuted = (failing ?? []).map(({ claim, measured }) => `${claim.replace(/\.$/, '')}: ${measured}`);
    return [[link, runs, `${holding?.length ?? 0} of ${claims.length}${mark}`, refuted.join('<br>')]];
  });
  const unrecorded = read.filter(({ runs }) => runs === undefined).map(({ link }) => link);
  return [
    markdownTable([['Experiment', 'Runs', 'Claims that hold', 'Claims that do not'], ...rows]),
    fewNote,
    ...(unrecorded.length === 0 ? [] : [`Not recorded: ${unrecorded.join(', ')}.`]),
    '',
  ].join('\n');
}

/** The block's own claims, as they stand on the page. */
function claimsIn(lines: readonly string[]) {
  const table = lines.findIndex((line) => line.startsWith('| Claim '));
  const rows = table === -1 ? [] : markdownRows(lines.slice(table)).slice(1);
  return rows.map(([claim = '', , measured = '', verdict = '']) => ({ claim, measured, verdict }));
}
