/** A finding of the doctor for the terminal. Pure. */
import type { Finding } from '../doctor/finding.ts';

const words: Readonly<Record<Finding['status'], string>> = {
  ok: 'ok',
  warning: 'WARN',
  problem: 'FIX',
  'not-checked': '-',
};

/** One line; a second one, indented, says what to do. */
export function findingLine({ status, check, hosts, found, fix }: Finding): string {
  const line = `${words[status].padEnd(5)}${hosts.join(' ').padEnd(12)}${check.padEnd(18)}${found}`;
  return fix === undefined ? line : `${line}\n${' '.repeat(17)}→ ${fix}`;
}
