/** The kinds of program whose cached pages the agent can list. A new kind is a folder beside innodb/ and a line here. */
import { InnodbFinder } from './innodb/finder.ts';
import type { CachingProgram, FoundPages, PageFinder } from './page-finder.ts';
import { PostgresqlFinder } from './postgresql/finder.ts';

const finders: readonly PageFinder<FoundPages>[] = [new InnodbFinder(), new PostgresqlFinder()];

export async function findPrograms(): Promise<CachingProgram<FoundPages>[]> {
  const programs: CachingProgram<FoundPages>[] = [];
  for (const finder of finders) programs.push(...(await finder.programs()));
  return programs;
}
