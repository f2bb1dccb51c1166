/** Local wall-clock time: ms since the epoch, with fractions, never going back while the process lives. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
