/** `poolshift` on the lab's hosts, as its Debian package has it. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import type { Host, HostName, HostProcess, Testbed } from '../../testbed/host.ts';

const root = path.join(import.meta.dirname, '../../..');

/** Makes the package of this checkout and installs it on hosts, with nothing else. */
export async function installPackage(hosts: readonly Host[], log: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-packages-'));
  try {
    await execa(process.execPath, ['scripts/make-packages.ts', folder], { cwd: root });
    const file = (await readdir(folder)).find((name) => name.startsWith('poolshift_')) ?? '';
    const install = async (host: Host): Promise<void> => {
      await host.copyTo(path.join(folder, file), `/root/${file}`);
      await host.run(`dpkg --install /root/${file}`, { timeoutMs: 120_000 });
    };
    await Promise.all(hosts.map(install));
    log(`${file} is installed`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** ssh from a host to others as root, by way of the migration network and under their names, as an operator has it. */
export async function joinBySsh(
  { hosts, networks }: Testbed,
  from: HostName,
  to: readonly HostName[],
): Promise<void> {
  const key = await hosts[from].run(
    `ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; cat /root/.ssh/id_ed25519.pub`,
  );
  for (const name of to) {
    await hosts[name].run(`cat >> /root/.ssh/authorized_keys`, { input: key.stdout });
    const { stdout } = await hosts[name].run(`cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub`);
    await hosts[from].run(
      `echo ${networks.migration.addresses[name]} ${name} >> /etc/hosts; cat >> /root/.ssh/known_hosts`,
      { input: `${name} ${stdout}` },
    );
  }
}

/** From now on: what leaves a host of a migration, and what storage gives. */
export async function limitLinks(
  { hosts, networks: { migration, storage } }: Testbed,
  from: 'src' | 'dst',
  migrationMegabits: number,
  storageMegabits: number,
): Promise<void> {
  const limit = (name: string, megabits: number): string =>
    `tc qdisc replace dev ${name} root tbf rate ${megabits}mbit burst 128kb latency 100ms`;
  await hosts[from].run(limit(migration.interfaces[from], migrationMegabits));
  await hosts.nfs.run(limit(storage.interfaces.nfs, storageMegabits));
}

const lineSchema = z.looseObject({ event: z.string() });
type Line = z.infer<typeof lineSchema>;

const pidFile = '/run/poolshift/command.pid';

/** Whether the VM has moved early, by the phase of a progress line. */
export function isMissingPages(phase: unknown): boolean {
  return phase === 'missing pages' || phase === 'missing pages on storage';
}

/** The command on the source host, and what it prints. */
export class Command {
  readonly lines: Line[] = [];
  readonly ended: Promise<number | undefined>;
  errors = '';
  readonly #host: Host;
  readonly #child: HostProcess;
  #waiting: { readonly accepts: (line: Line) => boolean; readonly resolve: (line: Line) => void }[] = [];

  constructor(host: Host, vm: string, options: string) {
    this.#host = host;
    this.#child = host.spawn(`echo $$ > ${pidFile}; exec poolshift migrate ${vm} --json ${options}`);
    this.ended = this.#read();
  }

  async #read(): Promise<number | undefined> {
    for await (const text of this.#child.lines) {
      const line = lineSchema.parse(JSON.parse(text));
      this.lines.push(line);
      for (const { accepts, resolve } of this.#waiting) if (accepts(line)) resolve(line);
    }
    const { exitCode, stderrTail } = await this.#child.ended;
    this.errors = stderrTail;
    return exitCode;
  }

  /** The first line from now on that is accepted. Rejects when the command ends without one. */
  async line(accepts: (line: Line) => boolean): Promise<Line> {
    const { promise, resolve } = Promise.withResolvers<Line>();
    this.#waiting.push({ accepts, resolve });
    const ended = this.ended.then((code) => {
      throw new Error(
        `ended with ${code ?? 'nothing'}: ${this.errors} ${JSON.stringify(this.lines.slice(-5))}`,
      );
    });
    return Promise.race([promise, ended]);
  }

  /** When so much has come from storage: some, and not all, of what the pool of these tests has there. */
  restoring(): Promise<Line> {
    return this.line(
      ({ event, storageLinkBytes }) => event === 'progress' && Number(storageLinkBytes) > 20e6,
    );
  }

  async signal(name: 'INT' | 'HUP'): Promise<void> {
    await this.#host.run(`kill -${name} "$(cat ${pidFile})"`);
  }

  get end(): Line | undefined {
    return this.lines.findLast(({ event }) => event === 'end');
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}
