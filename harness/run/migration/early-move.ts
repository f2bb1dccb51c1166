/** Early resume: the VM is stopped at the source when the engine says that it may move, and goes on at the destination. */
import { nowMs } from '../../probes/wall-clock.ts';
import type { EngineOutput } from './engine-output.ts';
import type { MigrationContext } from './migration.ts';

export interface EarlyMove {
  /** Settles when the VM was told to move, or never will be. Never rejects. */
  readonly told: Promise<void>;
  /** Lets the VM run on at the source where the engine has said that it is there; it may have been stopped for its move. */
  giveBack(): Promise<void>;
}

/** After these nobody continues the VM at the source. */
const notAtSource = ['moved', 'started', 'in-doubt', 'incomplete'] as const;

/** To be called when QEMU was told to migrate. */
export function moveEarly(
  { source, log, configuration }: Pick<MigrationContext, 'source' | 'log' | 'configuration'>,
  engine: EngineOutput,
): EarlyMove {
  let stopped = false;
  const move = async (): Promise<void> => {
    await source.execute('migrate-start-postcopy');
    await engine.waitFor('may-move', configuration.maxTimeSeconds * 1000);
    // QEMU lets a VM that it has stopped by itself run on when it takes its migration for failed.
    stopped = true;
    await source.execute('stop');
    engine.tell('move');
  };
  const told = move().catch((error: unknown) => {
    log.event({ event: 'note', at_ms: nowMs(), text: `the VM was not told to move: ${String(error)}` });
  });
  return {
    told,
    giveBack: async () => {
      await told;
      if (!stopped || notAtSource.some((name) => engine.hasReported(name))) return;
      if (engine.hasReported('failed') || engine.hasReported('cancelled')) await source.execute('cont');
    },
  };
}
