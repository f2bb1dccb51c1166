/** The engines' program on the lab's VM hosts, beside QEMUs that a test starts itself. */
import type { RecordedFields } from '../../../record/engine-event.ts';
import type { NewRunEvent } from '../../../record/event.ts';
import type { HostName } from '../../../record/event.ts';
import type { HostProcess, Testbed } from '../../testbed/host.ts';
import { quote } from '../../../foundation/shell.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { bringEngineKey, type EngineKey } from './engine-key.ts';
import { EngineOutput } from './engine-output.ts';

const startTimeoutMs = 300_000;
/** Where each host's engine has written its process id. */
export const enginePidFile = '/run/poolshift/engine.pid';

interface Engines {
  readonly source: EngineOutput;
  readonly destination: EngineOutput;
}

interface EnginePlaces {
  /** Where the source host's QEMU connects, and where the destination host's waits. */
  readonly outgoingSocket: string;
  readonly incomingSocket: string;
  /** As `--ram` takes it. */
  readonly ram: string;
  /** As `--storage` takes them. */
  readonly storage: readonly string[];
  /** As `--user` takes it. Default: they stay root. */
  readonly user?: string;
}

/** Both engines of a lab test's migrations, one after the other. */
export class EnginePair {
  readonly events: NewRunEvent[] = [];
  readonly #processes: HostProcess[] = [];
  readonly #testbed: Testbed;
  readonly #bundle: string;
  #key: EngineKey | undefined;

  constructor(testbed: Testbed, bundle: string) {
    this.#testbed = testbed;
    this.#bundle = bundle;
  }

  /** The source's engine listens when this settles. */
  async start({ outgoingSocket, incomingSocket, ram, storage, user }: EnginePlaces): Promise<Engines> {
    const address = `${this.#testbed.networks.migration.addresses.dst}:${firstVm.migrationPort}`;
    const asUser = user === undefined ? '' : ` --user ${user}`;
    const places = storage.map((place) => ` --storage ${quote(place)}`).join('');
    this.#key ??= await bringEngineKey(this.#testbed);
    const destination = this.#start(
      'dst',
      this.#key,
      `destination --listen ${address} --incoming unix:${incomingSocket}${places}${asUser}`,
    );
    await destination.waitFor('listening', startTimeoutMs);
    const source = this.#start(
      'src',
      this.#key,
      `source --listen unix:${outgoingSocket} --connect ${address} --agent ${firstVm.machine.paths.agentSocket} ` +
        `--ram ${ram} --list-at start --strategy restore${asUser}`,
    );
    await source.waitFor('listening', startTimeoutMs);
    return { source, destination };
  }

  #start(host: 'src' | 'dst', key: EngineKey, command: string): EngineOutput {
    const child = this.#testbed.hosts[host].spawn(
      `echo $$ > ${enginePidFile}; exec node ${this.#bundle} ${command} --psk-file ${key.path} --json`,
    );
    this.#processes.push(child);
    return new EngineOutput(host, child, {
      event: (event) => this.events.push(event),
      sample: () => undefined,
    });
  }

  /** What the last engine event of this name says. */
  last(host: HostName, name: string): RecordedFields | undefined {
    const found = this.events.findLast(
      (event) => event.event === 'engine' && event.host === host && event.name === name,
    );
    return found?.event === 'engine' ? found.fields : undefined;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((child) => child.stop()));
    await this.#key?.remove();
  }
}
