/** The kinds of program whose cached pages the agent can list. A new kind is a folder beside innodb/ and a line here. */
import type { ListFailure } from '../../engine/list/page-list.ts';
import { InnodbFinder } from './innodb/finder.ts';
import { PageCacheFinder } from './page-cache/finder.ts';
import { failureOf } from './list-failure.ts';
import type { CachingProgram, FoundPages, PageFinder } from './page-finder.ts';
import { PostgresqlFinder } from './postgresql/finder.ts';

const finders = {
  innodb: new InnodbFinder(),
  postgresql: new PostgresqlFinder(),
  'page-cache': new PageCacheFinder(),
} as const satisfies Readonly<Record<string, PageFinder<FoundPages>>>;

/** In their order. */
export const finderNames = Object.keys(finders) as readonly (keyof typeof finders)[];

export interface FoundPrograms {
  readonly programs: readonly CachingProgram<FoundPages>[];
  /** Kinds that could not be looked for. */
  readonly failures: readonly ListFailure[];
}

/**
 * @param without kinds that are not looked for
 * @param kinds for tests
 */
export async function findPrograms(
  without: readonly string[] = [],
  kinds: Readonly<Record<string, PageFinder<FoundPages>>> = finders,
): Promise<FoundPrograms> {
  const programs: CachingProgram<FoundPages>[] = [];
  const failures: ListFailure[] = [];
  for (const [name, finder] of Object.entries(kinds)) {
    if (without.includes(name)) continue;
    try {
      programs.push(...(await finder.programs()));
    } catch (error) {
      // What is wrong with one kind is no reason to do without the others.
      failures.push(failureOf(name, error));
    }
  }
  return { programs, failures };
}
