/** Engines on the hosts of a migration: started so that they outlive whoever started them, followed, and ended. */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CodedError } from '../foundation/coded-error.ts';
import { recordedFieldsSchema, type RecordedFields } from '../record/engine-event.ts';
import { lostHost, type Following, type OperatedHost } from './host.ts';
import { quote } from '../foundation/shell.ts';
import type { Starter } from './starter.ts';

/** Folder of all migrations that a host knows, and of one. */
export const migrationsFolder = '/run/poolshift/migrations';
export const folderOf = (id: string): string => `${migrationsFolder}/${id}`;
/** Of each engine: both may be on one host. */
export const keyFileOf = (id: string, role: Role): string => `${folderOf(id)}/${role}.key`;

/** So that the path of a socket with it is one that unix(7) takes. */
const maxNameLength = 40;
const hashLength = 8;

/** Of a VM's name what fits everywhere: paths, units, lists of words. Names that differ stay different. */
export function plainName(vm: string): string {
  const plain = vm.replaceAll(/[^\w.-]/g, '_').replace(/^[.-]/, '_');
  if (plain === vm && plain.length <= maxNameLength) return plain;
  const hash = createHash('sha256').update(vm).digest('hex').slice(0, hashLength);
  return `${plain.slice(0, maxNameLength - hashLength - 1)}-${hash}`;
}

/** Names a migration on both hosts. */
export const migrationId = (vm: string): string => `${plainName(vm)}-${randomBytes(4).toString('hex')}`;

type Role = 'source' | 'destination';

export const unitOf = (role: Role, vm: string): string => `poolshift-${role}-${plainName(vm)}`;

/** What `poolshift status` says of a migration on this host. */
interface MigrationRecord {
  readonly id: string;
  readonly vm: string;
  readonly role: Role;
  readonly source: string;
  readonly destination: string;
  readonly method: string;
  readonly startedAt: string;
  readonly starter: Starter;
}

/** How many ended ones a host remembers, beside those that somebody has still to look after. */
const remembered = 20;
const unsettled = '^\\{"outcome":"(incomplete|in-doubt)"';

/** Makes the folder of a migration on a host, with the key for its engine: by standard input, where no list of processes shows it. */
export async function prepareFolder(
  host: OperatedHost,
  record: MigrationRecord,
  key: string | undefined,
): Promise<void> {
  const folder = folderOf(record.id);
  const script = `set -eu
umask 077
install -d -m 700 /run/poolshift ${migrationsFolder}
cd ${migrationsFolder}
for old in $(ls -t | tail -n +${remembered + 1}); do if [ -e "$old/end" ] && ! grep -qE ${quote(unsettled)} "$old/end"; then rm -rf -- "$old"; fi; done
mkdir -p ${quote(folder)}
printf '%s\\n' ${quote(JSON.stringify(record))} > ${quote(`${folder}/${record.role}.json`)}
${key === undefined ? '' : `cat > ${quote(keyFileOf(record.id, record.role))}`}`;
  await host.run(script, key === undefined ? {} : { input: `${key}\n` });
}

/** The key, where there is one, becomes standard input, and has no name any more: whoever dies from here on, it does not stay. */
const takeKey = (file: string): string =>
  `if [ -e ${file} ]; then exec < ${file} && rm ${file} || exit 1; fi`;

/** Where an engine finds the key, as `--psk-file` takes it. */
export const keyPlace = 'fd:0';

/**
 * Starts an engine: a transient unit where systemd runs, else a detached process. Its events go to a file, so that nobody has to
 * be there to read them. systemd never kills a source engine: one in doubt has to stay (docs/engine.md, Ends).
 *
 * @param command program and arguments, as words of a shell
 */
function launchScript(id: string, role: Role, vm: string, command: string): string {
  const stem = `${folderOf(id)}/${role}`;
  const unit = unitOf(role, vm);
  return `set -eu
umask 077
# A file, since systemd has a meaning of its own for "$" in a command.
# One that a slow host starts only when its migration is over ends at once, as does one that a full disk would leave without its pid:
# nobody could end it.
printf '%s\\n' ${quote(`echo $$ > ${stem}.pid || exit 1\n[ ! -e ${folderOf(id)}/end ] || exit 1\n${takeKey(keyFileOf(id, role))}\nexec ${command}`)} > ${stem}.sh
if [ -d /run/systemd/system ]; then
  if systemctl is-active --quiet ${quote(unit)}; then echo "the unit ${unit} is active: an engine of an earlier migration is still there (poolshift status; systemctl kill -s TERM ${unit})" >&2; exit 1; fi
  systemctl reset-failed ${quote(unit)} 2> /dev/null || true
  systemd-run --quiet --collect --unit=${quote(unit)} --property=Type=exec --property=SendSIGKILL=no --property=SuccessExitStatus=130 \\
    --property=StandardOutput=append:${stem}.events --property=StandardError=append:${stem}.errors -- bash ${stem}.sh
else
  setsid bash ${stem}.sh >> ${stem}.events 2>> ${stem}.errors < /dev/null &
fi
for attempt in $(seq 100); do [ -s ${stem}.pid ] && exit 0; sleep 0.05; done
echo 'the engine has not started' >&2
exit 1`;
}

/** Its events but the first so many; ends when it has ended. */
function followScript(id: string, role: Role, seen: number): string {
  const stem = `${folderOf(id)}/${role}`;
  return `touch ${stem}.events; exec tail -n +${seen + 1} -s 0.1 --pid="$(cat ${stem}.pid)" -f ${stem}.events`;
}

/**
 * Signals a process whose pid was written down, if it is still the one that has \`mark\` among its arguments: another may have that pid by now.
 *
 * @param pid a word of the shell
 */
export const signalMarked = (pid: string, mark: string, signal: string): string =>
  `if tr '\\0' ' ' < /proc/"${pid}"/cmdline 2> /dev/null | grep -qF -- ${quote(mark)}; then kill -${signal} "${pid}"; fi`;

/** TERM asks an engine to end: before the commit it does; in doubt it stays. USR1 tells it that the VM stands for its move. */
function signalScript(id: string, role: Role, signal: 'TERM' | 'USR1'): string {
  const stem = `${folderOf(id)}/${role}`;
  return `pid=$(cat ${stem}.pid 2> /dev/null) || exit 0
${signalMarked('$pid', id, signal)}
true`;
}

/** Asks an engine to end, and waits until it has. */
export const endingScript = (id: string, role: Role): string => `${signalScript(id, role, 'TERM')}
for attempt in $(seq 200); do [ -e /proc/"$pid" ] || exit 0; sleep 0.05; done
echo 'the engine does not end' >&2
exit 1`;

/** The last word on both hosts: what came of it, and the key goes. */
export function endScript(id: string, result: string, line: string): string {
  const folder = folderOf(id);
  return `rm -f ${quote(folder)}/*.key
[ -d ${quote(folder)} ] && printf '%s\\n' ${quote(result)} > ${quote(`${folder}/end`)}
logger -t poolshift -- ${quote(line)} 2> /dev/null
true`;
}

const lineSchema = recordedFieldsSchema.extend({ event: z.string() });

export interface ReportedEvent {
  readonly event: string;
  readonly fields: RecordedFields;
}

/** An event of an engine of any version; undefined for what is none. */
export function parseEvent(line: string): ReportedEvent | undefined {
  try {
    const { event, ...fields } = lineSchema.parse(JSON.parse(line));
    return { event, fields };
  } catch {
    return undefined;
  }
}

/** What is told of an engine. */
interface EngineListener {
  readonly onEvent: (event: ReportedEvent) => void;
  /** The way to its host is lost, or found again. */
  readonly onHeard: (heard: boolean) => void;
}

/** An engine that runs on a host. */
export class LaunchedEngine {
  readonly role: Role;
  readonly #host: OperatedHost;
  readonly #id: string;
  #following: Following | undefined;
  #left = false;
  /** Settles when the engine has ended or its host is lost for good, and all of its events have been told. */
  readonly ended: Promise<void>;

  private constructor(host: OperatedHost, id: string, role: Role, listener: EngineListener) {
    this.role = role;
    this.#host = host;
    this.#id = id;
    this.ended = this.#read(listener);
  }

  /** @throws CodedError 'host' */
  static async start(
    host: OperatedHost,
    {
      id,
      vm,
      role,
      command,
      ...listener
    }: {
      readonly id: string;
      readonly vm: string;
      readonly role: Role;
      readonly command: string;
    } & EngineListener,
  ): Promise<LaunchedEngine> {
    try {
      await host.run(launchScript(id, role, vm, command));
    } catch (error) {
      // It may run all the same: its host was too slow to say so, or the connection was lost.
      await host.run(signalScript(id, role, 'TERM')).catch(() => undefined);
      throw error;
    }
    return new LaunchedEngine(host, id, role, listener);
  }

  /** Its events are in a file there, so that nothing is missed of what it said while nobody heard it. */
  async #read({ onEvent, onHeard }: EngineListener): Promise<void> {
    let seen = 0;
    let lostAtMs: number | undefined;
    for (;;) {
      const following = this.#host.follow(followScript(this.#id, this.role, seen));
      this.#following = following;
      let isWhole = true;
      for await (const line of following.lines) {
        if (lostAtMs !== undefined) onHeard(true);
        lostAtMs = undefined;
        seen += 1;
        const event = parseEvent(line);
        isWhole = event !== undefined;
        if (event !== undefined) onEvent(event);
      }
      if ((await following.end) === 'ended' || this.#wasLeft()) return;
      // What was cut is read again.
      if (!isWhole) seen -= 1;
      if (lostAtMs === undefined) onHeard(false);
      lostAtMs ??= performance.now();
      if (performance.now() - lostAtMs > lostHost.givenUpMs) return;
      await sleep(lostHost.askAgainMs);
      if (this.#wasLeft()) return;
    }
  }

  /** Its last lines of errors, for messages. */
  async errors(): Promise<string> {
    const stem = `${folderOf(this.#id)}/${this.role}`;
    return this.#host.run(`tail -n 3 ${stem}.errors 2> /dev/null || true`).catch(() => '');
  }

  /** Early resume: the VM stands for its move. @throws CodedError 'host' */
  async tellMove(): Promise<void> {
    await this.#host.run(signalScript(this.#id, this.role, 'USR1'));
  }

  /** Asks it to end, so many times where its host does not answer: one that is lost cannot be asked. */
  async stop(attempts = 1): Promise<void> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      try {
        await this.#host.run(signalScript(this.#id, this.role, 'TERM'));
        return;
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
      }
      if (attempt < attempts) await sleep(lostHost.askAgainMs);
    }
  }

  /** A method: it changes while something is waited for. */
  #wasLeft(): boolean {
    return this.#left;
  }

  /** Ends the reading of its events; the engine goes on. */
  leave(): void {
    this.#left = true;
    this.#following?.stop();
  }
}
