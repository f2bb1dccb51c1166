/**
 * Whether what one VM host writes to shared storage is what the other reads, at once and past every cache: a migration
 * that hands over an image needs that. Both open the same file as QEMU opens images: with O_DIRECT on a kernel mount, with
 * QEMU's own NFS client otherwise.
 */
import { diskPlace } from '../run/disk-place.ts';
import type { Host, HostName, HostProcess, Testbed } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { type Finding, verdict } from './finding.ts';

type Machines = Pick<Testbed, 'hosts' | 'networks' | 'exportPath' | 'mountPath'>;

const fileName = '.poolshift-doctor';
const rounds = 4;
const bytes = 1 << 20;

interface MountFacts {
  /** "nfs4"; undefined where nothing is mounted at or above the path but a local disk. */
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

/** @throws CodedError 'host' */
export async function examineStorage(machines: Machines): Promise<readonly Finding[]> {
  const { src, dst, nfs } = machines.hosts;
  const { mountPath } = machines;
  const mounts: Finding[] = [];
  if (mountPath !== undefined)
    for (const host of [src, dst])
      mounts.push(judgeMount(host.name, mountPath, await mountAt(host, mountPath)));
  if (mounts.some(({ status }) => status === 'problem')) return mounts;

  const place = diskPlace(machines, fileName);
  await nfs.run(`rm -f ${quote(place.serverPath)}; truncate --size=${bytes} ${quote(place.serverPath)}`);
  const writerPath = place.qemu.kind === 'file' ? place.qemu.path : place.engine;
  try {
    return [...mounts, await exchange(src, dst, writerPath), await exchange(dst, src, writerPath)];
  } finally {
    await nfs.run(`rm -f ${quote(place.serverPath)}`);
  }
}

async function mountAt(host: Host, path: string): Promise<MountFacts | undefined> {
  const { stdout } = await host.run(
    `findmnt --noheadings --output=FSTYPE,SOURCE,OPTIONS --mountpoint ${quote(path)} | tail -n 1`,
  );
  const [type, source = '', options = ''] = stdout.trim().split(/\s+/);
  return type === undefined || type === '' ? undefined : { type, source, options };
}

const wantedOptions = 'vers=4.2,hard,proto=tcp,nconnect=4';

export function judgeMount(host: HostName, path: string, mount: MountFacts | undefined): Finding {
  const how = `mount -t nfs -o ${wantedOptions} STORAGE-ADDRESS:EXPORT ${path}`;
  if (mount === undefined)
    return verdict('NFS mount', [host], `nothing is mounted at ${path}`, { status: 'problem', fix: how });
  const found = `${mount.source} at ${path}: ${mount.type}`;
  if (!/^nfs4?$/.test(mount.type))
    return verdict('NFS mount', [host], found, {
      status: 'problem',
      fix: `it is not NFS; ${how}`,
    });
  const options = mount.options.split(',');
  if (options.includes('soft') || options.includes('softerr'))
    return verdict('NFS mount', [host], `${found}, soft`, {
      status: 'problem',
      fix: `mount it "hard": a soft mount gives the guest write errors when the server is slow; ${how}`,
    });
  return verdict('NFS mount', [host], `${found}, ${mount.options}`);
}

/** The reader keeps the file open, as a target does that waits for its migration, and must see each write at once. */
async function exchange(writer: Host, reader: Host, path: string): Promise<Finding> {
  const open = reader.spawn(`exec qemu-io -r -U -t none -f raw ${quote(path)} 2>&1`);
  const answers = readAnswers(open);
  const seen: string[] = [];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const { stdout } = await writer.run(
        `qemu-io -t none -f raw -c 'write -P ${round} 0 ${bytes}' -c flush ${quote(path)} 2>&1 || true`,
      );
      if (!stdout.includes(`wrote ${bytes}/${bytes} bytes`))
        return judgeExchange(writer.name, reader.name, [], `${writer.name} cannot write: ${stdout.trim()}`);
      open.write(`read -P ${round} 0 ${bytes}\n`);
      seen.push(await answers.next());
    }
    return judgeExchange(writer.name, reader.name, seen, undefined);
  } finally {
    await open.stop();
  }
}

/** What qemu-io says to a read ends with the line of its speed; what goes wrong has no such line. */
function readAnswers(process: HostProcess): { next(): Promise<string> } {
  const lines = process.lines[Symbol.asyncIterator]();
  return {
    async next() {
      const answer: string[] = [];
      for (;;) {
        const line = await lines.next();
        if (line.done === true) return [...answer, 'qemu-io ended'].join('\n');
        answer.push(line.value);
        if (/ops\/sec\)|failed|rror|annot/.test(line.value)) return answer.join('\n');
      }
    },
  };
}

/** @param answers of the reader, one for each write */
export function judgeExchange(
  writer: HostName,
  reader: HostName,
  answers: readonly string[],
  trouble: string | undefined,
): Finding {
  const check = 'NFS coherence';
  const hosts = [writer, reader];
  const stale = answers.filter((answer) => /Pattern verification failed/.test(answer)).length;
  if (stale > 0)
    return verdict(check, hosts, `${reader} read old data ${stale} of ${answers.length} times`, {
      status: 'problem',
      fix: 'a cache lies between them: export with "sync", mount without "fsc" and local caches, and with the options in docs/real-hosts.md',
    });
  const unread = answers.find((answer) => !answer.includes(`read ${bytes}/${bytes} bytes`));
  const said = trouble ?? (unread === undefined ? undefined : `${reader} cannot read: ${unread}`);
  if (said === undefined)
    return verdict(check, hosts, `${answers.length} writes of ${writer} read by ${reader} at once`);
  return verdict(check, hosts, said.replace(/\s+/g, ' ').slice(0, 300), {
    status: 'problem',
    fix: storageFix(said),
  });
}

function storageFix(said: string): string {
  if (/Unknown (?:protocol|driver)/.test(said)) return 'apt-get install qemu-block-extra on src and dst';
  if (/O_DIRECT|Invalid argument/.test(said))
    return 'images are opened with O_DIRECT, which this mount does not take: mount NFS 4.2 or 3 over TCP';
  if (/Permission denied|EACCES|EROFS|Read-only/.test(said))
    return 'export with "rw,no_root_squash" to the storage addresses of src and dst';
  return 'see that the NFS server runs and exports the folder to the storage addresses of src and dst';
}
