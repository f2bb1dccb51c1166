/** The root file system that all four containers of the local lab share, each below an overlay of its own. */
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { bootPackages } from '../../../scripts/debian-packages.ts';
import { hashFiles, prepare, type Log } from '../../../scripts/cache.ts';
import { aptSourceOptions, debianMirror } from '../../../scripts/mirror.ts';

const suite = 'trixie';
const projectRoot = path.resolve(import.meta.dirname, '../../..');
const provisionScript = path.join(projectRoot, 'vagrant/provision.sh');

/** Returns the folder of the root file system; makes it first if there is none. Needs root and mmdebstrap. */
export async function prepareRootfs(log: Log): Promise<string> {
  const scriptHash = await hashFiles([provisionScript]);
  return prepare({
    name: 'hosts',
    keyParts: [suite, ...bootPackages, scriptHash, process.versions.node, process.arch],
    log,
    build,
  });
}

async function build(dir: string, log: Log): Promise<void> {
  const mirror = debianMirror();
  const source = (uri: string, name: string): string =>
    `deb [signed-by=${mirror.keyring}] ${uri} ${name} main`;
  const security = mirror.securityUri === undefined ? [] : [source(mirror.securityUri, `${suite}-security`)];
  const options = [
    `--include=${bootPackages.join(',')}`,
    '--aptopt=Apt::Install-Recommends "false"',
    '--aptopt=Acquire::Retries "3"',
    ...aptSourceOptions().map((option) => `--aptopt=${option}`),
    ...['man', 'locale', 'doc', 'info'].map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    `--customize-hook=upload ${provisionScript} /root/provision.sh`,
    '--customize-hook=chroot "$1" bash /root/provision.sh all',
    '--customize-hook=rm -rf "$1"/root/provision.sh "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/etc/ssh/ssh_host_*',
    '--customize-hook=: > "$1"/etc/machine-id',
  ];
  // In namespaces of its own: a killed build leaves neither mounts nor processes. `exec`: the shell would outlive us.
  const mmdebstrap = $({
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: false,
    nothrow: true,
  })`exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --mount-proc \
mmdebstrap --mode=root --variant=minbase --components=main --format=directory ${options} \
${suite} ${dir} ${source(mirror.archiveUri, suite)} ${security} 2>&1`;
  const lastLines: string[] = [];
  for await (const line of mmdebstrap) {
    // mmdebstrap's own lines, and what provision.sh has to download.
    const progress =
      /^I: ((?:running apt-get|downloading|extracting|installing).*?)[.]*$|^(Need to get .*) of archives/.exec(
        line,
      );
    if (progress !== null) log(`hosts: ${progress[1] ?? progress[2] ?? ''}`);
    lastLines.push(line);
    if (lastLines.length > 20) lastLines.shift();
  }
  const { exitCode } = await mmdebstrap;
  if (exitCode !== 0)
    throw new Error(`mmdebstrap ended with ${exitCode ?? 'a signal'}:\n${lastLines.join('\n')}`);
  const node = path.join(dir, 'usr/local/bin/node');
  await rm(node, { force: true });
  await copyFile(process.execPath, node);
}
