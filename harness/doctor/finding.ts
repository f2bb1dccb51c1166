/** What the doctor says about machines: one line for each check and host. */
import type { HostName } from '../testbed/host.ts';

export const findingStatuses = ['ok', 'warning', 'problem', 'not-checked'] as const;

export interface Finding {
  /** What was looked at: "memory", "migration link". */
  readonly check: string;
  /** The machine; two where it is about what lies between them. */
  readonly hosts: readonly HostName[];
  /**
   * `warning`: runs work, but less well or with other figures. `problem`: runs fail, or their figures mean nothing.
   * `not-checked`: something else must be put right first.
   */
  readonly status: (typeof findingStatuses)[number];
  /** What was found, with units. */
  readonly found: string;
  /** What to do about it; always there for a warning and a problem. */
  readonly fix?: string;
}

/** Status of a check that can only be good or bad, with what to do if it is bad. */
export function verdict(
  check: string,
  hosts: readonly HostName[],
  found: string,
  bad?: { readonly status: 'warning' | 'problem'; readonly fix: string },
): Finding {
  return { check, hosts, status: 'ok', found, ...bad };
}
