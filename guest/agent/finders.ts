/** The kinds of program whose cached pages the agent can list. A new kind is a folder beside innodb/ and a line here. */
import { InnodbFinder } from './innodb/finder.ts';
import { PageCacheFinder } from './page-cache/finder.ts';
import type { CachingProgram, FoundPages, PageFinder } from './page-finder.ts';
import { PostgresqlFinder } from './postgresql/finder.ts';

const finders = {
  innodb: new InnodbFinder(),
  postgresql: new PostgresqlFinder(),
  'page-cache': new PageCacheFinder(),
} as const satisfies Readonly<Record<string, PageFinder<FoundPages>>>;

/** In their order. */
export const finderNames = Object.keys(finders) as readonly (keyof typeof finders)[];

/** @param without kinds that are not looked for */
export async function findPrograms(without: readonly string[] = []): Promise<CachingProgram<FoundPages>[]> {
  const programs: CachingProgram<FoundPages>[] = [];
  for (const name of finderNames)
    if (!without.includes(name)) programs.push(...(await finders[name].programs()));
  return programs;
}
