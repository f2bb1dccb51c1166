/**
 * `npm run packages -- [FOLDER]`: the Debian packages `poolshift`, for hosts, and `poolshift-agent`, for guests, from this checkout, and the
 * agent as one executable for guests without Node.
 * The engine needs zstd of Node 22 and later, which no Debian release up to 13 has, so its Node comes with it; the agent takes
 * Debian's own.
 */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { $ } from 'zx';
import { type CommandHelp, helpFormatVariable } from '../foundation/command-help.ts';
import { programCompletion } from './command-completion.ts';

const root = path.join(import.meta.dirname, '..');
const texts = path.join(import.meta.dirname, 'debian');
const run = $({ quiet: true, cwd: root });

interface Package {
  readonly name: string;
  readonly depends: string;
  readonly recommends?: string;
  /** The first line is the short one. */
  readonly description: readonly [string, ...string[]];
  /** Scripts of its maintainer, in `scripts/debian/`. */
  readonly scripts: readonly string[];
  readonly configurationFiles: readonly string[];
  readonly architecture: 'any' | 'all';
  /** Fills the tree. */
  readonly fill: (tree: string) => Promise<void>;
}

const put = async (tree: string, place: string, content: string, mode = 0o644): Promise<void> => {
  const file = path.join(tree, place);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, content, { mode });
};

const bring = async (tree: string, place: string, from: string, mode = 0o644): Promise<void> => {
  const file = path.join(tree, place);
  await mkdir(path.dirname(file), { recursive: true });
  await copyFile(from, file);
  await chmod(file, mode);
};

const manualPage = async (tree: string, name: string): Promise<void> => {
  await bring(tree, `usr/share/man/man8/${name}`, path.join(texts, name));
  await run`gzip -9n ${path.join(tree, 'usr/share/man/man8', name)}`;
};

/** The program's hash stands in what starts it, by which two hosts see whether they have the same one (operate/facts.ts). */
async function startOf(program: string, node: string, options: string, bundle: string): Promise<string> {
  const hash = createHash('sha256')
    .update(await readFile(bundle))
    .digest('hex');
  return `#!/bin/sh\n# ${hash}\nexec ${node} ${options}${program} "$@"\n`;
}

const helpOf = async (file: string): Promise<CommandHelp> => {
  const { stdout } = await run({
    env: { ...process.env, [helpFormatVariable]: 'json' },
  })`${process.execPath} ${file} --help`;
  return JSON.parse(stdout.split('\n')[0] ?? '') as CommandHelp;
};

const library = 'usr/lib/poolshift';
const programs = [
  ['poolshift', 'operate/bundle.ts'],
  ['poolshift-engine', 'engine/cli/bundle.ts'],
] as const;

const hostPackage: Package = {
  name: 'poolshift',
  depends: 'libc6 (>= 2.28), libstdc++6, libgcc-s1, openssh-client, iproute2',
  recommends: 'libvirt-clients, qemu-utils, qemu-block-extra',
  description: [
    'live migration of database VMs that reads cached pages from shared storage',
    'The commands poolshift and poolshift-engine, for hosts with QEMU or libvirt.',
  ],
  scripts: [],
  configurationFiles: ['/etc/apparmor.d/abstractions/libvirt-qemu.d/poolshift'],
  architecture: 'any',
  fill: async (tree) => {
    await bring(tree, `${library}/node`, process.execPath, 0o755);
    const helps: CommandHelp[] = [];
    for (const [name, bundler] of programs) {
      const file = path.join(tree, library, `${name}.mjs`);
      await run`${process.execPath} ${bundler} ${file}`;
      helps.push(await helpOf(file));
      await put(
        tree,
        `usr/bin/${name}`,
        await startOf(`/${library}/${name}.mjs`, `/${library}/node`, '', file),
        0o755,
      );
      await put(tree, `usr/share/bash-completion/completions/${name}`, programCompletion(helps.slice(-1)));
      await manualPage(tree, `${name}.8`);
    }
    await bring(
      tree,
      'etc/apparmor.d/abstractions/libvirt-qemu.d/poolshift',
      path.join(texts, 'apparmor-libvirt-qemu'),
    );
    for (const page of ['engine', 'early-resume', 'operate'])
      await bring(tree, `usr/share/doc/poolshift/${page}.md`, path.join(root, `docs/${page}.md`));
    for (const example of ['domain.xml', 'poolshift-source@.service', 'poolshift-destination@.service']) {
      const text = await readFile(path.join(root, 'examples', example), 'utf8');
      const installed = text.replaceAll('/usr/local/bin/', '/usr/bin/');
      await put(tree, `usr/share/doc/poolshift/examples/${example}`, installed);
    }
  },
};

const agentUnit = 'poolshift-agent.service';

const agentPackage: Package = {
  name: 'poolshift-agent',
  depends: 'nodejs (>= 18), e2fsprogs',
  description: [
    'tells the host of this VM which pages of memory are on its disk',
    "Guest agent for poolshift: a database's cached pages, for live migration.",
  ],
  scripts: ['postinst', 'prerm', 'postrm'],
  configurationFiles: [],
  architecture: 'all',
  fill: async (tree) => {
    const { stdout } = await run`${process.execPath} guest/image/agent-bundle.ts`;
    const place = 'usr/lib/poolshift-agent/agent.js';
    await bring(tree, place, stdout.trim());
    const unit = await readFile(path.join(root, 'examples', agentUnit), 'utf8');
    await put(
      tree,
      `usr/lib/systemd/system/${agentUnit}`,
      unit.replace(/^# .*\n/, '').replace('/usr/local/lib/poolshift/agent.js', `/${place}`),
    );
    const options = /^ExecStart=\/usr\/bin\/node (.*)\/usr\S+$/m.exec(unit)?.[1] ?? '';
    await put(
      tree,
      'usr/sbin/poolshift-agent',
      await startOf(`/${place}`, '/usr/bin/node', options, stdout.trim()),
      0o755,
    );
    await manualPage(tree, 'poolshift-agent.8');
    await bring(tree, 'usr/share/doc/poolshift-agent/agent.md', path.join(root, 'docs/agent.md'));
  },
};

async function make(
  { name, depends, recommends, description, scripts, configurationFiles, architecture, fill }: Package,
  version: string,
  maintainer: string,
  folder: string,
): Promise<string> {
  const work = await mkdtemp(path.join(os.tmpdir(), 'poolshift-package-'));
  try {
    const tree = path.join(work, 'tree');
    await mkdir(tree);
    await fill(tree);
    await bring(tree, `usr/share/doc/${name}/copyright`, path.join(root, 'LICENSE'));
    const debian = process.arch === 'x64' ? 'amd64' : process.arch;
    const kib = (await run`du -sk ${tree}`).stdout.split('\t')[0] ?? '0';
    const [short, ...long] = description;
    const control = [
      `Package: ${name}`,
      `Version: ${version}`,
      `Architecture: ${architecture === 'any' ? debian : 'all'}`,
      `Maintainer: ${maintainer}`,
      `Installed-Size: ${kib}`,
      `Depends: ${depends}`,
      ...(recommends === undefined ? [] : [`Recommends: ${recommends}`]),
      'Section: admin',
      'Priority: optional',
      `Description: ${short}`,
      ...long.map((line) => ` ${line}`),
    ];
    await run({
      cwd: tree,
    })`find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 md5sum > ../md5sums`;
    await bring(tree, 'DEBIAN/md5sums', path.join(work, 'md5sums'));
    await put(tree, 'DEBIAN/control', `${control.join('\n')}\n`);
    if (configurationFiles.length > 0)
      await put(tree, 'DEBIAN/conffiles', `${configurationFiles.join('\n')}\n`);
    for (const script of scripts)
      await bring(tree, `DEBIAN/${script}`, path.join(texts, `${name}.${script}`), 0o755);
    await run`chmod -R u=rwX,go=rX ${tree}`;
    const file = path.join(folder, `${name}_${version}_${architecture === 'any' ? debian : 'all'}.deb`);
    // xz takes a minute for Node alone; dpkg of Debian 12 reads zstd.
    await run`dpkg-deb --root-owner-group -Zzstd -z9 --build ${tree} ${file}`;
    return file;
  } finally {
    await rm(work, { recursive: true });
  }
}

const [given = 'packages', ...further] = process.argv.slice(2);
if (given.startsWith('-') || further.length > 0) {
  const isHelp = given === '--help' || given === '-h';
  (isHelp ? console.log : console.error)(`usage: npm run packages [-- FOLDER]   (default: packages)
Makes the Debian packages of this checkout and the agent as one executable, and prints where they are.
Exit codes: 0 made; 1 not; 2 wrong option.`);
  process.exit(isHelp ? 0 : 2);
}
const folder = path.resolve(given);
await mkdir(folder, { recursive: true });
const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
  readonly version: string;
};
const maintainer =
  (await run`git log -1 ${'--format=%an <%ae>'}`.nothrow()).stdout.trim() || 'Poolshift <root@localhost>';
for (const one of [hostPackage, agentPackage]) console.log(await make(one, version, maintainer, folder));
const executable = path.join(folder, `poolshift-agent-${version}-linux-${process.arch}`);
await run`${process.execPath} guest/image/agent-executable.ts ${executable}`;
console.log(executable);
