/** When the VM stopped at the source and started at the target, and how long the client was without answer around that. */
import type { NewRunEvent } from '../../record/event.ts';

interface Gap {
  readonly fromMs: number;
  readonly gapMs: number;
}

export class Switchover {
  readonly #probe: 'ping' | 'heartbeat';

  stopMs: number | undefined;
  resumeMs: number | undefined;
  #commandMs: number | undefined;
  readonly #gaps: Gap[] = [];

  /** @param probe whose gaps count */
  constructor(probe: 'ping' | 'heartbeat' = 'ping') {
    this.#probe = probe;
  }

  take(event: NewRunEvent): void {
    if (event.event === 'migrate-command') {
      this.#commandMs = event.at_ms;
      this.stopMs = undefined;
      this.resumeMs = undefined;
    }
    if (event.event === 'qmp' && event.host === 'src' && event.name === 'STOP') this.stopMs = event.at_ms;
    if (event.event === 'qmp' && event.host === 'dst' && event.name === 'RESUME')
      this.resumeMs ??= event.at_ms;
    if (event.event === 'restart' && event.phase === 'vm-stopped') this.stopMs = event.at_ms;
    if (event.event === 'restart' && event.phase === 'vm-started') this.resumeMs = event.at_ms;
    if (event.event === 'probe-gap' && event.probe === this.#probe)
      this.#gaps.push({ fromMs: event.at_ms, gapMs: event.gap_ms });
  }

  /** The longest time without an answer that overlaps the time in which no VM ran. */
  get longestGapMs(): number | undefined {
    const { stopMs, resumeMs } = this;
    if (stopMs === undefined || resumeMs === undefined) return undefined;
    return longest(this.#gaps.filter((gap) => gap.fromMs < resumeMs && gap.fromMs + gap.gapMs > stopMs));
  }

  /** The longest one between the migrate command and that time, while the VM ran at the source. */
  get longestGapBeforeMs(): number | undefined {
    const [startMs, stopMs] = [this.#commandMs, this.stopMs ?? Infinity];
    if (startMs === undefined) return undefined;
    return longest(this.#gaps.filter((gap) => gap.fromMs > startMs && gap.fromMs + gap.gapMs <= stopMs));
  }
}

function longest(gaps: readonly Gap[]): number | undefined {
  return gaps.length === 0 ? undefined : Math.max(...gaps.map(({ gapMs }) => gapMs));
}
