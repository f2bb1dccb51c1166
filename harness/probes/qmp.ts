/**
 * Follows a QEMU through a QMP socket of its own: forwards every event and polls `query-migrate`
 * (QEMU docs/interop/qmp-spec.rst, qapi/migration.json).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CodedError } from '../../foundation/coded-error.ts';
import { QmpClient } from '../../qemu/qmp/client.ts';
import { isObject, type Json, type MigrationInfo, type QmpEvent } from '../../qemu/qmp/messages.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

/** The states in which `query-migrate` no longer changes (qapi/migration.json, MigrationStatus). */
const endedStates: ReadonlySet<unknown> = new Set(['completed', 'failed', 'cancelled']);

const retryMs = 50;

/**
 * The numbers in an answer of `query-migrate`, by QEMU's own names; those of nested objects as "ram.remaining". Whatever
 * this version of QEMU reports is kept.
 */
export function migrationFigures(answer: Json, prefix = ''): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [name, value] of Object.entries(answer)) {
    if (typeof value === 'number') figures[prefix + name] = value;
    else if (isObject(value)) Object.assign(figures, migrationFigures(value, `${prefix}${name}.`));
  }
  return figures;
}

export function startQmp(config: Extract<ProbeConfig, { probe: 'qmp' }>, emit: Emit): Probe {
  const intervalMs = config.intervalMs ?? 100;
  const over = new AbortController();
  const { signal } = over;

  const reportEvent = ({ name, data, atMs, receivedAtMs }: QmpEvent): void => {
    emit({ report: 'qmp-event', at: atMs, receivedAt: receivedAtMs, name, data });
  };

  /** Settles when QEMU is gone. */
  const follow = async (qemu: QmpClient): Promise<void> => {
    let lastStatus: string | undefined;
    while (!qemu.isLost) {
      // The next question only after this answer: QEMU answers late while it switches over.
      const answer = await qemu.execute('query-migrate').catch(() => undefined);
      // Without a status there has been no migration yet; "none" is what a finished target may say.
      const status = answer?.status;
      if (answer !== undefined && status !== undefined && status !== 'none') {
        if (status !== lastStatus || !endedStates.has(status)) reportMigration(status, answer);
      }
      lastStatus = status;
      await sleep(intervalMs, undefined, { signal });
    }
  };

  const reportLoss = ({ cause }: CodedError<'qmp'>): void => {
    if (signal.aborted) return;
    const detail = cause instanceof Error ? cause.message : 'closed by QEMU';
    emit({ report: 'connection', at: nowMs(), probe: 'qmp', state: 'lost', detail });
  };

  const reportMigration = (status: string, answer: MigrationInfo): void => {
    const error = answer['error-desc'];
    emit({
      report: 'migration',
      at: nowMs(),
      status,
      figures: migrationFigures(answer),
      ...(error === undefined ? {} : { error }),
    });
  };

  const run = async (): Promise<void> => {
    // QEMU is not started yet, or will be started again.
    for (;;) {
      const qemu = await QmpClient.connect(config.socket, { signal, onEvent: reportEvent }).catch(
        () => undefined,
      );
      if (qemu === undefined) {
        await sleep(retryMs, undefined, { signal });
        continue;
      }
      emit({ report: 'connection', at: nowMs(), probe: 'qmp', state: 'connected', detail: config.socket });
      qemu.onLoss(reportLoss);
      try {
        await follow(qemu);
      } finally {
        qemu.close();
      }
    }
  };
  const ended = run().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });

  return {
    stop: () => {
      over.abort();
      return ended;
    },
  };
}
