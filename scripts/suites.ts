/**
 * Which tests run together: unit tests beside each other, then lanes side by side: two that each have a lab of their own, in which
 * suites follow one another, and those that do without.
 */

interface LabSuiteOptions {
  /** Paths whose lab tests it has; the first suite that has one that fits counts. */
  readonly paths: readonly string[];
  readonly lane: Lane;
}

const lanes = ['lab', 'second lab', 'no lab'] as const;
type Lane = (typeof lanes)[number];

/** In the order in which they run. */
const labSuites = {
  engine: {
    paths: ['engine/', 'harness/soak/soak.', 'harness/run/migration/broken-post-copy'],
    lane: 'no lab',
  },
  page: { paths: ['report/'], lane: 'no lab' },
  workload: { paths: ['harness/workload/'], lane: 'no lab' },
  guest: { paths: ['guest/'], lane: 'no lab' },
  lab: { paths: ['harness/testbed/', 'harness/vm/'], lane: 'lab' },
  migration: { paths: ['harness/run/migration/'], lane: 'second lab' },
  run: { paths: ['harness/'], lane: 'lab' },
} as const satisfies Readonly<Record<string, LabSuiteOptions>>;

type LabSuite = keyof typeof labSuites;
export type Suite = 'unit' | LabSuite;

export const labSuiteNames = Object.keys(labSuites) as readonly LabSuite[];
export const suiteNames: readonly Suite[] = ['unit', ...labSuiteNames];

/**
 * @param file from the project's folder
 * @returns undefined for a lab test that belongs to no suite
 */
export function suiteOf(file: string): Suite | undefined {
  if (!file.endsWith('.lab.test.ts')) return 'unit';
  return labSuiteNames.find((name) => labSuites[name].paths.some((prefix) => file.startsWith(prefix)));
}

/** Suites that run one after another, in each lane; the lanes run side by side. Unit tests take the whole machine. */
export function lanesOf(suites: readonly Suite[]): readonly (readonly LabSuite[])[] {
  return lanes.map((lane) =>
    labSuiteNames.filter((name) => suites.includes(name) && labSuites[name].lane === lane),
  );
}

/** What POOLSHIFT_LAB is for a suite's tests: the lab that may be up beside the ordinary one. */
export function labOf(suite: Suite): string {
  return suite !== 'unit' && labSuites[suite].lane === 'second lab' ? '2' : '';
}
