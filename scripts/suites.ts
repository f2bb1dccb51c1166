/** Which tests run together: unit tests beside each other, each lab suite alone, since one lab fits a machine. */

/** Lab suites, in the order in which they run, each with the paths whose lab tests it has; the first that fits counts. */
const labSuites = {
  engine: ['engine/', 'operate/'],
  page: ['report/'],
  workload: ['harness/workload/'],
  lab: ['harness/testbed/', 'harness/doctor/'],
  guest: ['guest/', 'harness/vm/'],
  libvirt: ['harness/run/migration/libvirt'],
  run: ['harness/'],
} as const;

export type LabSuite = keyof typeof labSuites;
export type Suite = 'unit' | LabSuite;

export const labSuiteNames = Object.keys(labSuites) as readonly LabSuite[];
export const suiteNames: readonly Suite[] = ['unit', ...labSuiteNames];

/**
 * @param file from the project's folder
 * @returns undefined for a lab test that belongs to no suite
 */
export function suiteOf(file: string): Suite | undefined {
  if (!file.endsWith('.lab.test.ts')) return 'unit';
  return labSuiteNames.find((name) => labSuites[name].some((prefix) => file.startsWith(prefix)));
}
