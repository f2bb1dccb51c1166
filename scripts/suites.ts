/** Which tests run together: unit tests, which take the whole machine, then the lab suites, a few side by side. */

/** The paths whose lab tests a suite has, the longest that fits counting. In the order in which they begin: the longest first. */
const labSuites = {
  methods: ['harness/run/migration/'],
  run: ['harness/run/', 'harness/soak/'],
  libvirt: ['harness/run/migration/libvirt', 'harness/run/migration/operate'],
  guest: ['guest/'],
  engine: ['engine/'],
  lab: ['harness/testbed/', 'harness/vm/'],
  page: ['report/'],
  workload: ['harness/workload/'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

type LabSuite = keyof typeof labSuites;
export type Suite = 'unit' | LabSuite;

export const labSuiteNames = Object.keys(labSuites) as readonly LabSuite[];
export const suiteNames: readonly Suite[] = ['unit', ...labSuiteNames];

/** Of lab suites, on two cores: three at a time take longer than one after the other. */
export const suitesSideBySide = 2;

/**
 * @param file from the project's folder
 * @returns undefined for a lab test that belongs to no suite
 */
export function suiteOf(file: string): Suite | undefined {
  if (!file.endsWith('.lab.test.ts')) return 'unit';
  const fitting = labSuiteNames.flatMap((name) =>
    labSuites[name].filter((path) => file.startsWith(path)).map((path) => ({ name, length: path.length })),
  );
  return fitting.sort((left, right) => right.length - left.length)[0]?.name;
}
