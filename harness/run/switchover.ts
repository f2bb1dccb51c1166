/** When the VM stopped at the source and started at the target, and how long the client was without answer around that. */
import { clockCorrection } from '../../record/clock-correction.ts';
import type { ClockName, NewRunEvent } from '../../record/event.ts';

/** By the clock of `host`. */
interface Moment {
  readonly atMs: number;
  readonly host: ClockName;
}

interface Gap extends Moment {
  readonly gapMs: number;
}

type ClockOffset = Extract<NewRunEvent, { readonly event: 'clock-offset' }>;

/** Takes events as they are recorded, and gives times on the harness's clock, corrected by what was measured so far. */
export class Switchover {
  readonly #probe: 'ping' | 'heartbeat';

  #command: Moment | undefined;
  #stop: Moment | undefined;
  #resume: Moment | undefined;
  readonly #gaps: Gap[] = [];
  readonly #clockOffsets: ClockOffset[] = [];

  /** @param probe whose gaps count */
  constructor(probe: 'ping' | 'heartbeat' = 'ping') {
    this.#probe = probe;
  }

  take(event: NewRunEvent): void {
    if (event.event === 'clock-offset') {
      this.#clockOffsets.push(event);
      return;
    }
    const moment: Moment = { atMs: event.at_ms, host: event.host ?? 'harness' };
    if (event.event === 'migrate-command') {
      this.#command = moment;
      this.#stop = undefined;
      this.#resume = undefined;
    }
    if (event.event === 'qmp' && event.host === 'src' && event.name === 'STOP') this.#stop = moment;
    if (event.event === 'qmp' && event.host === 'dst' && event.name === 'RESUME') this.#resume ??= moment;
    if (event.event === 'restart' && event.phase === 'vm-stopped') this.#stop = moment;
    if (event.event === 'restart' && event.phase === 'vm-started') this.#resume = moment;
    if (event.event === 'probe-gap' && event.probe === this.#probe)
      this.#gaps.push({ ...moment, gapMs: event.gap_ms });
  }

  /** From STOP to RESUME, with the bound of its error; undefined if one of them was not seen. */
  get downtime(): { readonly ms: number; readonly uncertaintyMs: number } | undefined {
    const [stop, resume] = [this.#stop, this.#resume];
    if (stop === undefined || resume === undefined) return undefined;
    const correct = this.#correct();
    return {
      ms: correct(resume) - correct(stop),
      uncertaintyMs: this.#uncertaintyMs(stop.host) + this.#uncertaintyMs(resume.host),
    };
  }

  /** The longest time without an answer that overlaps the time in which no VM ran. */
  get longestGapMs(): number | undefined {
    const [stop, resume] = [this.#stop, this.#resume];
    if (stop === undefined || resume === undefined) return undefined;
    const correct = this.#correct();
    const [stopMs, resumeMs] = [correct(stop), correct(resume)];
    return longest(this.#gaps.filter((gap) => correct(gap) < resumeMs && correct(gap) + gap.gapMs > stopMs));
  }

  /** The longest one between the migrate command and that time, while the VM ran at the source. */
  get longestGapBeforeMs(): number | undefined {
    if (this.#command === undefined) return undefined;
    const correct = this.#correct();
    const startMs = correct(this.#command);
    const stopMs = this.#stop === undefined ? Infinity : correct(this.#stop);
    return longest(this.#gaps.filter((gap) => correct(gap) > startMs && correct(gap) + gap.gapMs <= stopMs));
  }

  #correct(): (moment: Moment) => number {
    const correct = clockCorrection(this.#clockOffsets);
    return ({ host, atMs }) => correct(host, atMs);
  }

  /** The largest of its measurements: a correction lies between two of them. 0 for a clock that was not measured. */
  #uncertaintyMs(host: ClockName): number {
    const ofHost = this.#clockOffsets.filter((measured) => measured.host === host);
    return Math.max(0, ...ofHost.map(({ uncertainty_ms }) => uncertainty_ms));
  }
}

function longest(gaps: readonly Gap[]): number | undefined {
  return gaps.length === 0 ? undefined : Math.max(...gaps.map(({ gapMs }) => gapMs));
}
