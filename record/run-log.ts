/** Writes a run's events and samples as they come: events.jsonl and samples.jsonl in the result folder. */
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../foundation/coded-error.ts';
import type { Log, NewRunEvent, Sample } from './event.ts';

/** What a crash of the harness loses at most. */
const flushMs = 500;

class JsonLinesFile {
  readonly #handle: FileHandle;
  #pending: string[] = [];
  #writing = Promise.resolve();

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  push(value: unknown): void {
    this.#pending.push(`${JSON.stringify(value)}\n`);
  }

  /** One write after another, so that lines stay whole and in order. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      if (this.#pending.length === 0) return;
      const text = this.#pending.join('');
      this.#pending = [];
      await this.#handle.appendFile(text);
    });
    return this.#writing;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
      await this.#handle.sync();
    } finally {
      await this.#handle.close();
    }
  }
}

export class RunLog implements Log {
  /** The result folder. */
  readonly folder: string;
  readonly #events: JsonLinesFile;
  readonly #samples: JsonLinesFile;
  readonly #listeners: ((event: NewRunEvent) => void)[] = [];
  readonly #sampleListeners: ((sample: Sample) => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #failureListeners: ((error: CodedError<'record'>) => void)[] = [];
  #failure: CodedError<'record'> | undefined;

  private constructor(folder: string, events: JsonLinesFile, samples: JsonLinesFile) {
    this.folder = folder;
    this.#events = events;
    this.#samples = samples;
    this.#timer = setInterval(() => {
      Promise.all([events.flush(), samples.flush()]).catch((error: unknown) => {
        this.#fail(error);
      });
    }, flushMs);
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    clearInterval(this.#timer);
    const message = `the record in ${this.folder} is not complete`;
    this.#failure = new CodedError('record', 'not-writable', message, { cause });
    for (const listener of this.#failureListeners) listener(this.#failure);
  }

  /**
   * Makes the result folder, with `logs/` in it. The two files must not be there yet.
   * @throws CodedError 'record' `not-writable`
   */
  static async create(folder: string): Promise<RunLog> {
    try {
      await mkdir(path.join(folder, 'logs'), { recursive: true });
      const events = await open(path.join(folder, 'events.jsonl'), 'ax');
      const samples = await open(path.join(folder, 'samples.jsonl'), 'ax');
      return new RunLog(folder, new JsonLinesFile(events), new JsonLinesFile(samples));
    } catch (error) {
      throw new CodedError('record', 'not-writable', `cannot record in ${folder}`, { cause: error });
    }
  }

  event(event: NewRunEvent): void {
    this.#events.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  sample(sample: Sample): void {
    this.#samples.push(sample);
    for (const listener of this.#sampleListeners) listener(sample);
  }

  /** Calls `listener` with every event from now on: terminal output reads the run so. */
  onEvent(listener: (event: NewRunEvent) => void): void {
    this.#listeners.push(listener);
  }

  /** Calls `listener` with every sample from now on. */
  onSample(listener: (sample: Sample) => void): void {
    this.#sampleListeners.push(listener);
  }

  /** Calls `listener` once anything could not be written, as on a full disk: nothing more is written then. */
  onFailure(listener: (error: CodedError<'record'>) => void): void {
    this.#failureListeners.push(listener);
  }

  /**
   * Writes what is left and waits until it is on the disk.
   * @throws CodedError 'record' `not-writable` if anything could not be written
   */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    // The event of the run's end comes last: who finds it takes the samples to be there.
    for (const file of [this.#samples, this.#events])
      await file.close().catch((error: unknown) => {
        this.#fail(error);
      });
    if (this.#failure !== undefined) throw this.#failure;
  }
}
