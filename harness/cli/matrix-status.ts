import type { TableLine } from './figures.ts';

/** Whether a run failed, or was never reached. One that was skipped, or did not converge, is a result. */
export function matrixFailed(lines: readonly Pick<TableLine, 'outcome'>[], cells: number): boolean {
  return lines.length < cells || lines.some(({ outcome }) => outcome === 'failed');
}
