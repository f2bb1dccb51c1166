/**
 * The table that opens docs/results.md: every claim of every block with what was measured. It is made of the blocks as they
 * stand on the page, so that a block that is written anew brings the table along without a look at the other sets. Pure.
 */
import { markdownTable } from '../render/markdown-table.ts';

/** What of a block is looked at. */
interface Block {
  readonly recipe: string;
  readonly lines: readonly string[];
}

const [begin, end] = ['<!-- summary -->', '<!-- /summary -->'];

/** The page's words with the table between its two marks; without marks, as they are. */
export function withSummary(head: string, blocks: readonly Block[]): string {
  const from = head.indexOf(begin);
  const to = head.indexOf(end);
  if (from === -1 || to < from) return head;
  return `${head.slice(0, from + begin.length)}\n\n${summaryTable(blocks)}\n${head.slice(to)}`;
}

/**
 * A line for each experiment, below it one for each of its claims. The paper's claims are counted. What every experiment says
 * alike stands once, and those without runs in one line.
 */
function summaryTable(blocks: readonly Block[]): string {
  const recorded = blocks.flatMap((block) => {
    const [own = [], ...ofPaper] = claimTables(block.lines).map(({ claims }) => claims);
    const runs = block.lines.map((line) => /^(?:\*\*)?(\d[\d a-z]* runs?)\b/.exec(line)?.[1]).find(Boolean);
    return runs === undefined ? [] : [{ block, runs, own, papers: ofPaper.flat() }];
  });
  const [first, ...others] = recorded;
  const common = (first?.own ?? []).filter(
    (line) => others.length > 0 && others.every(({ own }) => own.some((other) => isAlike(line, other))),
  );
  const rows = recorded.flatMap(({ block, runs, own, papers }) => [
    [linkTo(block), runs, ''],
    ...own
      .filter((line) => !common.some((other) => isAlike(line, other)))
      .map(({ claim, measured, verdict }) => [claim, measured, verdict]),
    ...(papers.length === 0 ? [] : [['The paper’s claims', verdicts(papers), '']]),
  ]);
  const everywhere = common.map((line) => [
    `**In every experiment:** ${line.claim}`,
    line.measured,
    verdicts(recorded.flatMap(({ own }) => own.filter((other) => isAlike(line, other)))),
  ]);
  const unrecorded = blocks.filter((block) => !recorded.some((one) => one.block === block));
  return [
    markdownTable([['Experiment, and its claims', 'Measured', 'Verdict'], ...everywhere, ...rows]),
    ...(unrecorded.length === 0 ? [] : [`Not recorded: ${unrecorded.map(linkTo).join(', ')}.`, '']),
  ].join('\n');
}

/** The verdict also says whether repeats were enough. */
const isAlike = (one: ClaimLine, other: ClaimLine): boolean =>
  one.claim === other.claim && one.measured === other.measured;

/** A line of a table of claims, as it stands on the page. */
export interface ClaimLine {
  readonly claim: string;
  readonly measured: string;
  readonly verdict: string;
}

interface ClaimTable {
  /** The words before it. */
  readonly caption: string;
  readonly claims: readonly ClaimLine[];
}

/** The tables of `claimsMarkdown` in a block, in order. */
export function claimTables(lines: readonly string[]): ClaimTable[] {
  const tables: ClaimTable[] = [];
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('| Claim ')) continue;
    const rest = lines.slice(index + 2);
    const ending = rest.findIndex((row) => !row.startsWith('|'));
    const rows = rest.slice(0, ending === -1 ? rest.length : ending);
    const claims = rows.map((row) => {
      const [claim = '', , measured = '', , verdict = ''] = row
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim());
      return { claim, measured, verdict };
    });
    tables.push({ caption: lines[index - 2] ?? '', claims });
  }
  return tables;
}

/** "8 holds, 3 does not hold". */
function verdicts(claims: readonly ClaimLine[]): string {
  const kinds = [...new Set(claims.map(({ verdict }) => verdict))];
  return kinds
    .map((kind) => `${kind}: ${claims.filter(({ verdict }) => verdict === kind).length}`)
    .join('; ');
}

/** As GitHub makes anchors of headings. */
function linkTo({ lines, recipe }: Block): string {
  const title = lines.find((line) => line.startsWith('## '))?.slice(3) ?? recipe;
  const anchor = title
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
  return `**[${title}](#${anchor})**`;
}
