/** Carries one migration out: what the course (course.ts) decides, with engines on the hosts and a driver for libvirt or QEMU. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../foundation/coded-error.ts';
import type { Method } from './checks.ts';
import {
  courseStart,
  step,
  type CourseAction,
  type CourseEvent,
  type EngineRole,
  type Outcome,
  type VmState,
} from './course.ts';
import { type OperatedHost, silentMs } from './host.ts';
import { endScript, folderOf, LaunchedEngine, prepareFolder, type ReportedEvent } from './launch.ts';
import { type JobFigures, ProgressWatch, waitLine } from './progress.ts';
import type { Reporter } from './report.ts';
import { thisStarter } from './starter.ts';
import type { RamVerdict, Verification } from './verification.ts';
import { EngineRecord, journalLine, type Summary } from './summary.ts';

/** What moves the VM: libvirt, or QEMU itself. */
export interface Driver {
  /** Begins and waits for the end, whichever; never rejects. */
  migrate(): Promise<{ readonly succeeded: boolean; readonly says: string }>;
  /** @throws Error while there is nothing to abort */
  abort(): Promise<void>;
  /** Where the VM is. Never rejects: who does not answer is `unknown`. */
  look(): Promise<{ readonly source: VmState; readonly destination: VmState }>;
  /** What QEMU says of the migration that goes on; undefined where it says nothing. Never rejects. */
  job(): Promise<JobFigures | undefined>;
  /** The same of the one that is over. */
  completed(): Promise<JobFigures | undefined>;
  /** Early resume, where it can be had. */
  readonly early?: EarlyDriver;
}

/** What early resume needs beside it. */
interface EarlyDriver {
  /** Stops the VM at the source, for its move: one that QEMU stops it lets run on when the source engine dies. @throws CodedError */
  stopForMove(): Promise<void>;
  /** Lets it run at the target. @returns when it did, as `performance.now()` says it @throws CodedError */
  continueTarget(): Promise<number>;
  /** Lets it run at the source again, if QEMU there says that its migration has failed. Never rejects. */
  giveBack(): Promise<void>;
}

interface MigrationPlan {
  readonly id: string;
  readonly vm: string;
  readonly method: Method;
  readonly hosts: Readonly<Record<EngineRole, OperatedHost>>;
  /** The engines' command lines; undefined where there are none. */
  readonly engines?: Readonly<Record<EngineRole, string>>;
  /** Undefined where certificates are used. */
  readonly key?: string;
  readonly driver: Driver;
  readonly verification?: Verification;
  readonly reporter: Reporter;
  /** Calls the listener for every Ctrl-C. */
  readonly onInterrupt: (listener: () => void) => void;
}

const progressMs = 500;
const jobMs = 2000;
/** How long an engine in doubt is waited for: a late answer ends the doubt. */
const doubtMs = 60_000;
/** Engines tell their totals after the migration. */
const lastWordsMs = 5000;
/** An engine that was started says something within this time on the slowest host; what it waits for from then on it says itself. */
const firstWordMs = 120_000;
const tellMoveAttempts = 3;
const stopAttempts = 3;
/** A guest can make an engine say very many. */
const maxEngineNotes = 20;

const refusals = {
  aborting: 'it is being aborted already',
  ended: 'not aborted: it has ended, and the hosts are asked where the VM is',
  committed: 'not aborted: the stream is complete, and the VM may run at the destination at any moment',
  moved: 'not aborted: the VM is at the destination, and the rest of its memory follows',
  'in-doubt': 'not aborted: the VM may run at the destination',
} as const;

export async function runMigration(plan: MigrationPlan): Promise<Summary> {
  return new Run(plan).run();
}

class Run {
  readonly #plan: MigrationPlan;
  readonly #record: EngineRecord;
  readonly #engines = new Map<EngineRole, LaunchedEngine>();
  /** Engines that are being started; they settle when they are in the map, or are not there. */
  readonly #starts: Promise<unknown>[] = [];
  /** Engines that have said something. */
  readonly #heard = new Set<EngineRole>();
  readonly #over = Promise.withResolvers<Outcome>();
  readonly #startMs = performance.now();
  readonly #watch: ProgressWatch;
  readonly #done = new AbortController();
  readonly #reasons: string[] = [];
  #state = courseStart;
  #stopping: Promise<void> = Promise.resolve();
  /** The VM is being stopped for its move: until that has happened nobody looks where it is. */
  #moving: Promise<void> = Promise.resolve();
  #continuing: Promise<void> = Promise.resolve();
  #stoppedMs: number | undefined;
  #movedMs: number | undefined;
  /** And the destination goes on without it. */
  #sourceIsLost = false;
  #engineNotes = 0;
  /** When it was looked for last. */
  #atDestination: VmState = 'absent';
  #migrateMs: number | undefined;
  #endedMs: number | undefined;
  /** With `--verify`, when it is over. */
  #compares = false;

  constructor(plan: MigrationPlan) {
    this.#plan = plan;
    this.#record = new EngineRecord(plan.method === 'resume');
    this.#watch = new ProgressWatch(this.#startMs, plan.engines !== undefined);
  }

  async run(): Promise<Summary> {
    const { id, vm, method, hosts, engines, key, driver, reporter } = this.#plan;
    this.#plan.onInterrupt(() => {
      if (this.#compares)
        reporter.note('not aborted: the VM is at the destination, and goes on once its memory was compared');
      this.#dispatch({ type: 'interrupt' });
    });
    const startedAt = new Date().toISOString();
    const names = { source: hosts.source.name, destination: hosts.destination.name };
    try {
      for (const role of ['source', 'destination'] as const)
        await prepareFolder(
          hosts[role],
          { id, vm, role, ...names, method, startedAt, starter: thisStarter() },
          key,
        );
      await this.#plan.verification?.hold();
    } catch (error) {
      await this.#plan.verification?.release();
      await this.#tellHosts('failed', `migration ${id} of ${vm} did not begin`);
      throw error;
    }
    this.#dispatch({ type: 'begin', engines: engines !== undefined });
    const watching = [this.#showProgress(), this.#askForJob()];
    const outcome = await this.#over.promise;
    // No QEMU has come to an engine: they would wait for it for ever, and nothing of the VM is with them.
    if (outcome === 'in-doubt' && !this.#record.hasSeenQemu) await this.#stopEngines();
    await this.#stopping;
    await this.#continuing;
    for (const engine of this.#engines.values()) engine.leave();
    this.#done.abort();
    await Promise.all(watching);
    const completed = outcome === 'migrated' ? await driver.completed() : undefined;
    const ram = await this.#verify(outcome);
    const figures = this.#record.figures();
    const summary: Summary = {
      vm,
      ...names,
      method,
      outcome,
      totalMs: (this.#endedMs ?? performance.now()) - (this.#migrateMs ?? this.#startMs),
      downtimeMs: this.#downtimeMs ?? completed?.downtimeMs,
      ...(this.#movedMs === undefined ? {} : { movedMs: this.#movedMs - (this.#migrateMs ?? this.#startMs) }),
      ...(ram === undefined ? {} : { ram }),
      ...figures,
      reasons: [...this.#reasons, ...figures.reasons, ...this.#advice(outcome)],
    };
    await this.#tellHosts(outcome, journalLine(id, summary), summary);
    reporter.end(id, summary);
    return summary;
  }

  #dispatch(event: CourseEvent): void {
    const { state, actions } = step(this.#state, event);
    this.#state = state;
    for (const action of actions) {
      const acting = this.#act(action);
      if (action.do === 'stop-engines') this.#stopping = acting;
      if (action.do === 'move') this.#moving = acting;
      if (action.do === 'continue-target') this.#continuing = acting;
    }
    if (state.is === 'over') this.#over.resolve(state.outcome);
  }

  async #act(action: CourseAction): Promise<void> {
    const { driver, reporter } = this.#plan;
    switch (action.do) {
      case 'start-engine':
        return this.#startEngine(action.role);
      case 'start-migration': {
        this.#migrateMs = performance.now();
        const { succeeded, says } = await driver.migrate();
        this.#endedMs = performance.now();
        if (!succeeded) this.#reasons.push(says);
        this.#dispatch({ type: 'migration-ended', succeeded });
        return;
      }
      case 'abort-migration':
        reporter.note('aborting: the VM stays at the source, unless it has just left it');
        return this.#abort();
      case 'refuse-signal':
        reporter.note(refusals[action.why]);
        return;
      case 'limit-doubt':
        reporter.note(
          `in doubt: waiting ${doubtMs / 1000} s for a late answer. ${this.#record.advice ?? ''}`,
        );
        await sleep(doubtMs, undefined, { signal: this.#done.signal }).catch(() => undefined);
        this.#dispatch({ type: 'doubt-limit' });
        return;
      case 'move':
        return this.#move();
      case 'continue-target':
        return this.#continueTarget();
      case 'continue-source':
        await driver.early?.giveBack();
        return this.#look();
      case 'look':
        await this.#moving;
        await this.#continuing;
        return this.#look();
      case 'stop-engines':
        return this.#stopEngines();
    }
  }

  async #look(): Promise<void> {
    const seen = await this.#plan.driver.look();
    this.#atDestination = seen.destination;
    this.#dispatch({ type: 'looked', ...seen });
  }

  async #move(): Promise<void> {
    const { early } = this.#plan.driver;
    if (early === undefined) return;
    try {
      await early.stopForMove();
      this.#stoppedMs = performance.now();
      await this.#tellMove();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const why = `the VM was not moved: ${error.message}`;
      this.#reasons.push(why);
      this.#plan.reporter.note(`${why}; aborting`);
      // The source engine goes on waiting for its word.
      await this.#abort();
    }
  }

  /** A VM stands until its engine has been told. @throws CodedError 'host' */
  async #tellMove(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#engines.get('source')?.tellMove();
        return;
      } catch (error) {
        if (!(error instanceof CodedError) || attempt === tellMoveAttempts) throw error;
        this.#plan.reporter.note(`${error.message}; trying again`);
      }
    }
  }

  async #continueTarget(): Promise<void> {
    try {
      this.#movedMs = await this.#plan.driver.early?.continueTarget();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#reasons.push(`the VM stands at the destination: ${error.message}`);
    }
  }

  /** Of early resume, of whose stop QEMU knows nothing. */
  get #downtimeMs(): number | undefined {
    if (this.#stoppedMs === undefined || this.#movedMs === undefined) return undefined;
    return this.#movedMs - this.#stoppedMs;
  }

  async #startEngine(role: EngineRole): Promise<void> {
    const { id, vm, hosts, engines, reporter } = this.#plan;
    try {
      const starting = LaunchedEngine.start(hosts[role], {
        id,
        vm,
        role,
        command: engines?.[role] ?? 'false',
        onEvent: (event) => {
          this.#takeEvent(role, event);
        },
        onHeard: (heard) => {
          const { name } = hosts[role];
          reporter.note(
            heard ? `${name} answers again` : `${name} does not answer: its engine is not heard meanwhile`,
          );
          if (role === 'source') this.#dispatch({ type: 'unheard', is: !heard });
        },
      }).then((started) => {
        this.#engines.set(role, started);
        return started;
      });
      this.#starts.push(starting.catch(() => undefined));
      const engine = await starting;
      const endWatch = this.#watchStart(role);
      await engine.ended;
      endWatch();
      if (this.#state.is === 'starting') {
        const errors = (await engine.errors()).trim();
        if (errors !== '') this.#reasons.push(`${role} engine: ${errors}`);
      }
      const silent = !this.#record.hasLastWord(role);
      if (silent && (this.#state.is === 'moving' || this.#state.is === 'looking'))
        this.#reasons.push(
          `${role} engine: it was killed, or ${hosts[role].name} is lost; ${folderOf(id)}/${role}.errors there may say more`,
        );
      this.#dispatch({ type: 'engine-ended', role, silent });
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#reasons.push(`${role} engine: ${error.message}`);
      reporter.note(error.message);
      this.#dispatch({ type: 'start-failed' });
    }
  }

  /** Names an engine that says nothing, and gives it up. Returns what ends that. */
  #watchStart(role: EngineRole): () => void {
    const { reporter, hosts } = this.#plan;
    const who = `the ${role} engine on ${hosts[role].name}`;
    const isAwaited = (): boolean => this.#state.is === 'starting' && !this.#heard.has(role);
    const slow = setTimeout(() => {
      if (isAwaited())
        reporter.note(`waiting for ${who} to begin: ${silentMs / 1000} s of at most ${firstWordMs / 1000}`);
    }, silentMs);
    const limit = setTimeout(() => {
      if (!isAwaited()) return;
      this.#reasons.push(`${who} was started and has said nothing for ${firstWordMs / 1000} s`);
      this.#dispatch({ type: 'start-failed' });
    }, firstWordMs);
    return () => {
      clearTimeout(slow);
      clearTimeout(limit);
    };
  }

  #takeEvent(role: EngineRole, event: ReportedEvent): void {
    this.#heard.add(role);
    this.#record.take(role, event);
    this.#watch.takeEvent(role, event);
    switch (event.event) {
      case 'listening':
        this.#dispatch({ type: 'listening', role });
        break;
      case 'committed':
      case 'in-doubt':
      case 'may-move':
      case 'moved':
      case 'source-free':
      case 'source-needed':
        this.#dispatch({ type: event.event });
        break;
      case 'incomplete':
        this.#dispatch({ type: 'incomplete', role });
        break;
      // Who is left alone has nobody to tell that the target has started.
      case 'started':
      case 'done':
        if (role === 'source') break;
        if (this.#sourceIsLost) this.#endedMs = performance.now();
        this.#dispatch({ type: 'started' });
        break;
      case 'source-lost':
        this.#sourceIsLost = true;
        this.#plan.reporter.note(
          `the source is lost; the rest comes from storage: ${event.fields.reason ?? ''}`,
        );
        break;
      // Of the destination's waits the source's engine says those that somebody has to know.
      case 'waiting-for':
        if (this.#isInDoubt) break;
        if (role === 'source' || this.#sourceIsLost) this.#plan.reporter.note(waitLine(event));
        break;
      case 'warning':
      case 'no-list':
      case 'storage-unusable':
      case 'stream-unfilterable':
        this.#engineNotes += 1;
        if (this.#engineNotes <= maxEngineNotes)
          this.#plan.reporter.note(`${role} engine: ${event.fields.reason ?? event.event}`);
        else if (this.#engineNotes === maxEngineNotes + 1)
          this.#plan.reporter.note('the engines say more, which stands in their events');
        break;
    }
  }

  /** How long that is waited for is said here. */
  get #isInDoubt(): boolean {
    return this.#state.is === 'moving' && this.#state.commit === 'in-doubt';
  }

  async #verify(outcome: Outcome): Promise<RamVerdict | undefined> {
    const { verification, reporter } = this.#plan;
    if (verification === undefined) return undefined;
    let verdict: RamVerdict = 'not-compared';
    try {
      if (outcome !== 'migrated') return undefined;
      reporter.note('comparing memory: the VM is suspended');
      this.#compares = true;
      if (!(await verification.compare())) return 'differs';
      verdict = 'equal-suspended';
      await verification.resume();
      return 'equal';
    } catch (error) {
      this.#reasons.push(`memory: ${(error as Error).message}`);
      return verdict;
    } finally {
      this.#compares = false;
      await verification.release();
    }
  }

  /** libvirt and QEMU refuse it until their migration has begun. */
  async #abort(): Promise<void> {
    // The source engine ends before the commit alone. QEMU might break a move that is under way.
    if (this.#state.is === 'moving' && this.#state.told) {
      await this.#engines.get('source')?.stop(stopAttempts);
      return;
    }
    while (this.#state.is === 'moving' && this.#state.commit === 'none') {
      try {
        await this.#plan.driver.abort();
        return;
      } catch {
        await sleep(200);
      }
    }
  }

  async #showProgress(): Promise<void> {
    while (!this.#done.signal.aborted) {
      const waits = this.#state.is === 'looking' && this.#state.waits;
      if (waits || this.#state.is === 'moving')
        this.#plan.reporter.progress(this.#watch.at(performance.now()));
      await sleep(progressMs, undefined, { signal: this.#done.signal }).catch(() => undefined);
    }
  }

  async #askForJob(): Promise<void> {
    while (!this.#done.signal.aborted) {
      if (this.#state.is === 'moving') {
        const job = await this.#plan.driver.job();
        if (job !== undefined) this.#watch.takeJob(job);
      }
      await sleep(jobMs, undefined, { signal: this.#done.signal }).catch(() => undefined);
    }
  }

  /** Those of a migration end by themselves, and say why; who waits for one that will not come is told. */
  async #stopEngines(): Promise<void> {
    await Promise.all(this.#starts);
    if (this.#migrateMs !== undefined) await this.#untilEnginesEnd();
    await Promise.all([...this.#engines.values()].map((engine) => engine.stop()));
    await this.#untilEnginesEnd();
  }

  async #untilEnginesEnd(): Promise<void> {
    const limit = new AbortController();
    await Promise.race([
      Promise.all([...this.#engines.values()].map(({ ended }) => ended)),
      sleep(lastWordsMs, undefined, { signal: limit.signal }).catch(() => undefined),
    ]);
    limit.abort();
  }

  #advice(outcome: Outcome): readonly string[] {
    const { vm, hosts } = this.#plan;
    if (outcome === 'in-doubt')
      return [
        `look on ${hosts.destination.name} first, whether ${vm} runs or waits there, then on ${hosts.source.name}; ` +
          'continue it on one of them only when it is gone from the other',
        ...(this.#record.targetHasAll
          ? [
              `the engine on ${hosts.destination.name} has said that the target has all of ${vm}: if that is so, end its QEMU on ${hosts.source.name} ` +
                `and then continue it on ${hosts.destination.name}, where it waits`,
            ]
          : []),
        ...(this.#plan.method === 'resume'
          ? [
              `where it is on ${hosts.destination.name}, ${hosts.source.name} may have what is missing of it: end nothing there before "poolshift recover" has said so`,
            ]
          : []),
        ...(this.#record.advice === undefined ? [] : [this.#record.advice]),
      ];
    if (outcome === 'incomplete')
      return [
        `"poolshift recover", told the same VM and destination, brings the rest from the memory of ${hosts.source.name}: never continue ${vm} there`,
      ];
    if (outcome === 'vm-ended')
      return [`nothing of ${vm} runs or waits to run; start it anew, as after a power failure`];
    if (outcome === 'migrated' && this.#sourceIsLost)
      return [
        `${hosts.source.name} was lost on the way: where its QEMU of ${vm} is still there, it has the memory that ${vm} has left; end it, and never continue it`,
      ];
    if (outcome === 'failed' || outcome === 'cancelled') {
      const { name } = hosts.destination;
      if (this.#atDestination === 'unknown')
        return [`${name} did not answer: see that ${vm} does not run there as well`];
      if (this.#atDestination === 'paused')
        return [`${name} has ${vm} as well, which waits there: end it, and never continue it`];
    }
    if (outcome === 'failed-paused')
      return [`continue ${vm} on ${hosts.source.name}: nothing of it runs elsewhere`];
    return [];
  }

  /** The journal of both hosts, and what `poolshift status` says; a host that is lost learns nothing. */
  async #tellHosts(outcome: Outcome, line: string, summary?: Summary): Promise<void> {
    const { id, hosts } = this.#plan;
    const end = JSON.stringify({ outcome, endedAt: new Date().toISOString(), ...summary });
    await Promise.allSettled(
      [hosts.source, hosts.destination].map((host) => host.run(endScript(id, end, line))),
    );
  }
}
