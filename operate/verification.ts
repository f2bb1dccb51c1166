/**
 * `--verify`: the VM is suspended when it arrives, and all of its memory at the destination is compared with what it was at the source.
 * libvirt ends the source's QEMU when it has migrated, so that the file behind its memory is held open from before the migration on.
 */
import { execa } from 'execa';
import { CodedError } from '../foundation/coded-error.ts';
import type { DomainIdentity } from './facts.ts';
import { type OperatedHost } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { isWallClockAlone } from '../qemu/wall-clock.ts';
import { folderOf, signalMarked } from './launch.ts';

/** All but `equal` leave the VM suspended at the destination. */
export type RamVerdict = 'equal' | 'equal-suspended' | 'differs' | 'not-compared';

export interface Verification {
  /** Before the migration. @throws CodedError 'host' */
  hold(): Promise<void>;
  /** After it: whether its memory is equal. @throws CodedError 'host' */
  compare(): Promise<boolean>;
  /** The VM goes on. @throws ExecaError */
  resume(): Promise<void>;
  /** Never rejects. */
  release(): Promise<void>;
}

interface Verified {
  readonly id: string;
  readonly domain: DomainIdentity;
  readonly memoryBytes: number;
  readonly hosts: { readonly source: OperatedHost; readonly destination: OperatedHost };
  readonly destinationUri: string;
}

/** All memory is read on both hosts. */
const hashMs = 3_600_000;

/** Prints the descriptor of the one file of that size that is a VM's memory. */
const findScript = (name: string, memoryBytes: number): string =>
  `pid=$(cat /run/libvirt/qemu/${quote(name)}.pid)
for file in /proc/"$pid"/fd/*; do
  case $(readlink "$file") in
    /memfd:* | /dev/shm/* | /dev/hugepages/* | /var/lib/libvirt/qemu/ram/*)
      if [ "$(stat -Lc %s "$file")" = ${memoryBytes} ]; then echo "$file"; exit; fi ;;
  esac
done
true`;

/** The file behind a domain's memory; undefined where it is private to QEMU, or several. @throws CodedError 'host' */
export async function ramFileOf(
  host: OperatedHost,
  name: string,
  memoryBytes: number,
): Promise<string | undefined> {
  const file = (await host.run(findScript(name, memoryBytes))).trim();
  return file === '' ? undefined : file;
}

interface Memory {
  readonly host: OperatedHost;
  readonly file: string;
}

interface Span {
  readonly atBytes: number;
  readonly lengthBytes: number;
}

/** What is hashed as one, at each step of a search. Each hash is a process. */
const partsBytes = [16 << 20, 64 << 10, 4 << 10];

const readScript = ({ file }: Memory, { atBytes, lengthBytes }: Span): string =>
  `dd if=${quote(file)} bs=${lengthBytes} skip=${atBytes / lengthBytes} count=1 status=none`;

/** A hash of each part, of all memory or of a part of it. */
async function hashesOf(
  memory: Memory,
  span: Span | undefined,
  partBytes: number,
): Promise<readonly string[]> {
  const read = span === undefined ? `cat ${quote(memory.file)}` : readScript(memory, span);
  const script = `${read} | split -b ${partBytes} --filter=sha256sum`;
  return (await memory.host.run(script, { timeoutMs: hashMs })).trim().split('\n');
}

/** In nothing, or in the guest's wall clock alone, which KVM writes itself: the one page that differs is looked for. */
async function areEqual(source: Memory, target: Memory): Promise<boolean> {
  let span: Span | undefined;
  for (const lengthBytes of partsBytes) {
    const [before, after] = await Promise.all([
      hashesOf(source, span, lengthBytes),
      hashesOf(target, span, lengthBytes),
    ]);
    const count = Math.max(before.length, after.length);
    const [part, ...others] = Array.from({ length: count }, (_, index) => index).filter(
      (index) => before[index] !== after[index],
    );
    if (part === undefined) return span === undefined;
    if (others.length > 0) return false;
    span = { atBytes: (span?.atBytes ?? 0) + part * lengthBytes, lengthBytes };
  }
  const page = async (memory: Memory): Promise<Buffer> =>
    Buffer.from(
      span === undefined ? '' : await memory.host.run(`${readScript(memory, span)} | base64`),
      'base64',
    );
  return isWallClockAlone(await page(source), await page(target));
}

export function verificationOf({ id, domain, memoryBytes, hosts, destinationUri }: Verified): Verification {
  const pidFile = `${folderOf(id)}/ram.pid`;
  /** Among the holder's arguments, in the place of its name. */
  const mark = `poolshift-memory-of-${id}`;
  const ramFile = async (host: OperatedHost): Promise<string> => {
    const file = await ramFileOf(host, domain.name, memoryBytes);
    if (file !== undefined) return file;
    throw new CodedError(
      'host',
      'command-failed',
      `on ${host.name}: the file behind the memory of ${domain.name} is not found`,
    );
  };
  return {
    hold: async () => {
      const file = await ramFile(hosts.source);
      const holder = `exec 3< ${quote(file)} && echo $$ > ${pidFile} && exec -a ${mark} sleep 86400`;
      await hosts.source.run(`setsid bash -c ${quote(holder)} > /dev/null 2>&1 < /dev/null &
for attempt in $(seq 100); do if [ -s ${pidFile} ]; then exit 0; fi; sleep 0.05; done
echo 'the memory cannot be held open' >&2; exit 1`);
    },
    compare: async () => {
      const pid = (await hosts.source.run(`cat ${pidFile}`)).trim();
      const source = { host: hosts.source, file: `/proc/${pid}/fd/3` };
      const target = { host: hosts.destination, file: await ramFile(hosts.destination) };
      return areEqual(source, target);
    },
    resume: async () => {
      await execa('virsh', ['-c', destinationUri, 'resume', '--', domain.uuid], {
        stdin: 'ignore',
        timeout: 60_000,
      });
    },
    release: async () => {
      await hosts.source
        .run(`pid=$(cat ${pidFile}) || exit 0\n${signalMarked('$pid', mark, 'TERM')}\nrm -f ${pidFile}`)
        .catch(() => undefined);
    },
  };
}
