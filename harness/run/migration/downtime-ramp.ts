/**
 * A downtime limit that rises while a migration goes on, so that a quiet guest is stopped shortly and a busy one is moved all
 * the same. The steps are OpenStack Nova's (nova/virt/libvirt/migration.py, downtime_steps; options live_migration_downtime,
 * _steps and _delay of nova/conf/libvirt.py). KubeVirt tried the same (kubevirt/kubevirt#18573) and has another ramp, which
 * waits for the third pass (kubevirt/kubevirt#17480). Pure.
 */
import type { DowntimeRamp } from '../../../experiments/engines.ts';

interface DowntimeStep {
  /** From the migrate command. */
  readonly afterMs: number;
  readonly limitMs: number;
}

/** Nova waits for a guest of less memory as for one of so much. */
const minGib = 2;

/** The limits of a guest of that memory, by time; the first holds from the start. In whole ms, as QEMU takes them. */
export function downtimeStepsOf(
  { maxMs, steps, delaySecondsPerGib }: DowntimeRamp,
  memoryBytes: number,
): readonly DowntimeStep[] {
  const delayMs = 1000 * delaySecondsPerGib * Math.max(minGib, memoryBytes / 2 ** 30);
  const first = maxMs / steps;
  const rise = (maxMs - first) / steps;
  return Array.from({ length: steps + 1 }, (_, step) => ({
    afterMs: step * delayMs,
    limitMs: Math.floor(first + step * rise),
  }));
}
