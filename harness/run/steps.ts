/**
 * The steps of a run, each with its undo. Whatever happens, every undo of a step that began is run, in reverse order:
 * after success, after a failed step, and after an interrupt, which ends the waiting for the current step at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../foundation/coded-error.ts';

function stepError(step: string, cause: unknown): CodedError<'run'> {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CodedError('run', 'step-failed', `${step}: ${why}`, { cause });
}

type StepOutcome =
  | { readonly kind: 'started' }
  | { readonly kind: 'ended'; readonly durationMs: number }
  | { readonly kind: 'failed'; readonly durationMs: number; readonly error: unknown };

/** What a step still does after an interrupt is a command of a host, most of which take less. */
const defaultSettleMs = 15_000;

interface StepsOptions {
  readonly signal: AbortSignal;
  /** Called as steps and undos start and end. */
  readonly onStep: (name: string, outcome: StepOutcome) => void;
  /** How long undos wait for the action that an interrupt has left behind. Default 15 s. */
  readonly settleMs?: number;
}

export class Steps {
  readonly #options: StepsOptions;
  readonly #undos: { readonly name: string; readonly undo: () => Promise<void> }[] = [];
  /** Settles when the last step's action has come to its end; never rejects. */
  #lastAction: Promise<unknown> = Promise.resolve();

  constructor(options: StepsOptions) {
    this.#options = options;
  }

  /**
   * Runs one step. `undo` is kept from the moment the step begins, so it must cope with a step that got only half-way.
   * @throws CodedError 'run', 'step-failed' when the step fails or the signal aborts.
   */
  async step<Result>(
    name: string,
    action: () => Promise<Result>,
    undo?: () => Promise<void>,
  ): Promise<Result> {
    const { signal, onStep } = this.#options;
    if (undo !== undefined) this.#undos.push({ name, undo });
    const startedMs = performance.now();
    onStep(name, { kind: 'started' });
    try {
      signal.throwIfAborted();
      const running = action();
      this.#lastAction = running.catch(() => undefined);
      const result = await untilAborted(running, signal);
      onStep(name, { kind: 'ended', durationMs: performance.now() - startedMs });
      return result;
    } catch (error) {
      onStep(name, { kind: 'failed', durationMs: performance.now() - startedMs, error });
      throw stepError(name, error);
    }
  }

  /**
   * Runs all undos in reverse order. One that fails does not stop the others; their errors are returned. An action that an
   * interrupt has left behind may still start what its undo is to stop, so they wait for its end, but not for ever.
   */
  async undoAll(): Promise<readonly CodedError<'run'>[]> {
    if (this.#undos.length > 0) await this.#settled();
    const errors: CodedError<'run'>[] = [];
    for (let entry = this.#undos.pop(); entry !== undefined; entry = this.#undos.pop()) {
      const name = `undo ${entry.name}`;
      const startedMs = performance.now();
      try {
        await entry.undo();
      } catch (error) {
        this.#options.onStep(name, { kind: 'failed', durationMs: performance.now() - startedMs, error });
        errors.push(stepError(name, error));
      }
    }
    return errors;
  }

  async #settled(): Promise<void> {
    const given = new AbortController();
    const { settleMs = defaultSettleMs } = this.#options;
    const limit = sleep(settleMs, undefined, { signal: given.signal }).catch(() => undefined);
    await Promise.race([this.#lastAction, limit]);
    given.abort();
  }
}

/**
 * Does it for all at once, and settles when it has come to an end for each: what is undone then is not still being done.
 * @throws what the first of those that failed threw
 */
export async function together<Item, Result>(
  items: readonly Item[],
  action: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const running = items.map(action);
  await Promise.allSettled(running);
  return Promise.all(running);
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as it aborts. */
export async function untilAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    reject(signal.reason as Error);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  // How the abandoned action ends is of no interest: its hosts are about to go away.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
