/** Runs test files with ava and says what became of each of them, also of those that hang, crash, or are never reached. */
import { statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { $ } from 'zx';
import type { TestProgress } from './test-progress.ts';

interface Failure {
  readonly name: string;
  /** What is said of it. */
  readonly lines: readonly string[];
}

export interface TestsOutcome {
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
  /** Files of which ava ran no test, because it was ended before. */
  readonly neverRun: readonly string[];
  readonly exitCode: number;
  readonly seconds: number;
  readonly files: readonly {
    readonly file: string;
    readonly seconds: number;
    readonly cpuSeconds: number;
  }[];
}

interface TestsOptions {
  readonly kind: 'unit' | 'lab';
  /** Tests are ended, and named, when none has ended and no file has begun for this long. */
  readonly idleMs: number;
  /** Aborted when the tests are to end. */
  readonly signal: AbortSignal;
  /** The project's folder; else the one in which this runs. */
  readonly cwd?: string;
  /** Which lab they bring up (POOLSHIFT_LAB); else the machine's ordinary one. */
  readonly lab?: string;
}

/**
 * Each test file is a process, and each command that a test starts: what they import is compiled once for all of them, and for
 * those of the next time. npm empties it, with everything else there.
 */
const compiled = path.join(import.meta.dirname, '../node_modules/.cache/compiled');

/** What a test may need to put away what it has made, before it is killed. */
const teardownMs = 30_000;

/** A reason, at most one for a call of ava, why it was ended before its end. */
type Ended = 'idle' | 'stopped' | undefined;

/** Prints a line for each test; files that ava has not reached when a test hangs are run afterwards. */
export async function runTests(files: readonly string[], options: TestsOptions): Promise<TestsOutcome> {
  const scratch = await mkdtemp(path.join(tmpdir(), 'poolshift-test-'));
  const startedMs = performance.now();
  const outcomes: Omit<TestsOutcome, 'seconds'>[] = [];
  let rest = files;
  try {
    while (rest.length > 0 && !options.signal.aborted) {
      const outcome = await runOnce(rest, path.join(scratch, String(outcomes.length)), options);
      outcomes.push(outcome);
      if (outcome.neverRun.length === rest.length) break;
      rest = outcome.neverRun;
    }
  } finally {
    await rm(scratch, { recursive: true });
  }
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    skipped: outcomes.reduce((sum, { skipped }) => sum + skipped, 0),
    failures: outcomes.flatMap(({ failures }) => failures),
    neverRun: rest,
    exitCode: outcomes.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? 0,
    seconds: (performance.now() - startedMs) / 1000,
    files: outcomes.flatMap((outcome) => outcome.files),
  };
}

async function runOnce(
  files: readonly string[],
  scratch: string,
  { kind, idleMs, signal, cwd, lab = '' }: TestsOptions,
): Promise<Omit<TestsOutcome, 'seconds'>> {
  const progressFile = `${scratch}-progress`;
  const ava = $({
    ...(cwd === undefined ? {} : { cwd }),
    preferLocal: true,
    nothrow: true,
    quiet: true,
    // Ctrl-C in a terminal reaches ava and its tests, as it reaches us.
    detached: false,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      // A lab that somebody else has up is waited for, in minutes; shorter than what counts as a hang.
      POOLSHIFT_LAB_WAIT: '8',
      ...process.env,
      POOLSHIFT_LAB: lab,
      POOLSHIFT_TESTS: kind,
      POOLSHIFT_TEST_PROGRESS: progressFile,
      NODE_COMPILE_CACHE: compiled,
    },
    // The shell gives way to ava, so that ava gets the signal, and no test before it.
  })`exec ava --tap ${files}`;
  let ended: Ended;
  const stop = (): void => {
    ended = 'stopped';
    // The only signal at which ava ends its test files, too.
    ava.child?.kill('SIGINT');
  };
  signal.addEventListener('abort', stop);
  // With --tap, ava 8.0.1 crashes at its own time limit (avajs/ava#3461), and never says which test hung.
  const idle = new IdleWatch(progressFile, idleMs, () => {
    ended = 'idle';
    ava.child?.kill('SIGINT');
  });

  let passed = 0;
  let skipped = 0;
  const failures: (Failure & { readonly lines: string[] })[] = [];
  let failure: (typeof failures)[number] | undefined;
  for await (const line of createInterface({ input: ava.stdout })) {
    const result = /^(not ok|ok) \d+ - (.*)$/.exec(line);
    if (result === null) {
      failure?.lines.push(line);
      if (!isNoise(line)) console.log(line);
      continue;
    }
    const name = result[2] ?? '';
    failure = undefined;
    if (line.includes('# SKIP')) {
      skipped += 1;
      console.log(`-  ${name}`);
    } else if (result[1] === 'ok') {
      passed += 1;
      console.log(`ok ${name}`);
    } else {
      failure = { name, lines: [] };
      failures.push(failure);
      console.log(`NOT OK ${name}`);
    }
  }
  const { exitCode } = await ava;
  idle.end();
  signal.removeEventListener('abort', stop);

  const progress = await readProgress(progressFile);
  const began = new Set(progress.map(({ file }) => file));
  return {
    passed,
    skipped,
    failures: [
      ...failures,
      ...unfinished(progress).flatMap(({ file, titles }) =>
        (titles.size === 0 ? ['(before or after its tests)'] : [...titles]).map((title) => ({
          name: `${file}: ${title}`,
          lines: [`had not ended when ${whatEnded(ended, idleMs, exitCode)}`],
        })),
      ),
    ],
    neverRun: files.filter((file) => !began.has(file)),
    exitCode: exitCode ?? 1,
    files: progress.filter((line) => line.event === 'file-ended'),
  };
}

function whatEnded(ended: Ended, idleMs: number, exitCode: number | null): string {
  if (ended === 'idle') return `no test had ended for ${idleMs / 1000} s, and all were stopped`;
  if (ended === 'stopped') return 'a signal ended the tests';
  return `ava ended with exit code ${exitCode ?? 'none'}`;
}

/** TAP's frame, beside tests and what they print. */
function isNoise(line: string): boolean {
  return line.trim() === '' || /^(TAP version|1\.\.|# (tests|pass|fail|skip))/.test(line);
}

async function readProgress(file: string): Promise<readonly TestProgress[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TestProgress);
}

/** Calls back once when no test has ended and no file has begun for too long, and kills those that then do not end by themselves. */
class IdleWatch {
  readonly #timer: NodeJS.Timeout;
  #sizeBytes = 0;
  #changedMs = performance.now();
  #isOver = false;

  constructor(progressFile: string, idleMs: number, over: () => void) {
    this.#timer = setInterval(() => {
      const sizeBytes = statSync(progressFile, { throwIfNoEntry: false })?.size ?? 0;
      const nowMs = performance.now();
      // Until the first test file begins, ava itself starts, which a busy machine may take its time for.
      if (sizeBytes === 0 || sizeBytes !== this.#sizeBytes) this.#changedMs = nowMs;
      this.#sizeBytes = sizeBytes;
      if (!this.#isOver && nowMs - this.#changedMs > idleMs) {
        this.#isOver = true;
        this.#changedMs = nowMs;
        over();
      } else if (this.#isOver && nowMs - this.#changedMs > teardownMs) {
        void killUnfinished(progressFile);
      }
    }, 500);
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

async function killUnfinished(progressFile: string): Promise<void> {
  for (const { processId } of unfinished(await readProgress(progressFile))) {
    try {
      process.kill(processId, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

interface UnfinishedFile {
  readonly file: string;
  readonly processId: number;
  readonly titles: ReadonlySet<string>;
}

/** Files that did not come to their end, each with the tests that had not ended, the one that ran first. */
function unfinished(progress: readonly TestProgress[]): readonly UnfinishedFile[] {
  const running = new Map<string, UnfinishedFile & { readonly titles: Set<string> }>();
  for (const line of progress) {
    if (line.event === 'file-began') running.set(line.file, { ...line, titles: new Set() });
    if (line.event === 'test-selected') running.get(line.file)?.titles.add(line.title);
    if (line.event === 'test-ended') running.get(line.file)?.titles.delete(line.title);
    if (line.event === 'file-ended') running.delete(line.file);
  }
  return [...running.values()];
}
