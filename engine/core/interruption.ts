/** Where an engine hears that somebody wants it to end: SIGINT, SIGTERM, SIGHUP; perhaps several times. */
export interface Interrupts {
  /** `listener` is called for each of them from now on, and at once if one has come before. */
  subscribe(listener: () => void): void;
}

/** What the other engine is told of a signal. */
export function interruption(): Error & { readonly code: 'interrupted' } {
  return Object.assign(new Error('interrupted'), { code: 'interrupted' as const });
}
