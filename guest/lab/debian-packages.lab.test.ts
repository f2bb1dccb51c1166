/**
 * The Debian packages of this checkout, in a new Debian 12 and 13 that have nothing else: apt brings what they need, their
 * programs run, and purged they leave nothing. About two minutes.
 */
import { mkdtempSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { machinePackages } from '../../scripts/debian-packages.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { bootstrap } from '../image/packages.ts';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-packages-'));
test.after.always(() => rm(folder, { recursive: true }));

test.before(async (t) => {
  t.timeout(15 * 60_000);
  await ensurePackages(machinePackages.guestImage, t.log);
  await execa(process.execPath, ['scripts/make-packages.ts', folder], { cwd: root });
});

/** What is there of a package when it is gone. */
const leftovers = `find / -xdev -path /root -prune -o -path /proc -prune -o -path /tmp -prune -o -name '*poolshift*' -print`;

for (const suite of ['bookworm', 'trixie'] as const)
  test(`installed, used and purged in ${suite}`, async (t) => {
    t.timeout(15 * 60_000);
    const tree = await mkdtemp(path.join(os.tmpdir(), `poolshift-${suite}-`));
    t.teardown(() => rm(tree, { recursive: true, force: true }));
    const files = (await readdir(folder)).filter((name) => name.endsWith('.deb'));
    t.is(files.length, 2);
    const install = files.map((file) => `cp ${folder}/${file} "$1/root/"`).join(' && ');
    await bootstrap(
      tree,
      { suite, packages: ['libc-bin'] },
      {
        variant: 'minbase',
        customize: [
          `${install} && chroot "$1" apt-get install --yes --no-install-recommends ${files.map((file) => `/root/${file}`).join(' ')}`,
        ],
        log: t.log,
      },
    );
    const inTree = async (script: string): Promise<string> => {
      const { stdout } = await execa(
        'unshare',
        [
          ...['--mount', '--pid', '--fork', 'bash', '-c'],
          'mount -t proc proc "$0/proc"; exec chroot "$0" bash -euc "$1"',
          ...[tree, script],
        ],
        // Nothing of this machine's.
        { extendEnv: false, env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' } },
      );
      return stdout;
    };

    // The tree was told to go without manual pages and documents.
    await inTree('rm /etc/dpkg/dpkg.cfg.d/*mmdebstrap; dpkg --install /root/*.deb');
    t.regex(await inTree('poolshift --help'), /migrate[^]*check[^]*status/);
    t.is(await inTree('poolshift status'), 'this host knows no migrations');
    t.regex(await inTree('poolshift-engine key'), /^[0-9a-f]{64}$/);
    t.regex(
      await inTree('poolshift check vm1 qemu+ssh://nowhere.invalid/system 2>&1 || echo "exit $?"'),
      /exit 1$/,
    );
    t.regex(
      await inTree('poolshift migrate vm1 2>&1 || echo "exit $?"'),
      /give a DOMAIN and a DESTINATION[^]*exit 2$/,
    );
    // Debian's own Node runs the agent, which finds no server here.
    t.regex(
      await inTree('poolshift-agent --summary 2>&1 || true'),
      /no program runs whose cached pages are known/,
    );
    t.is(await inTree('dpkg --verify poolshift poolshift-agent'), '');
    await inTree('for page in /usr/share/man/man8/poolshift*.8.gz; do gzip -t "$page"; done; [ -e "$page" ]');
    t.is(
      await inTree(
        '. /usr/share/bash-completion/completions/poolshift; COMP_WORDS=(poolshift migrate --meth); COMP_CWORD=2; _poolshift_program poolshift; echo "${COMPREPLY[@]}"',
      ),
      '--method',
    );
    t.regex(
      await inTree('readlink /etc/systemd/system/multi-user.target.wants/poolshift-agent.service'),
      /\/systemd\/system\/poolshift-agent\.service$/,
    );

    await inTree('dpkg --purge poolshift poolshift-agent');
    t.is(await inTree(leftovers), '');

    // The agent as one file, where there is no Node any more.
    const executable = (await readdir(folder)).find((name) => name.startsWith('poolshift-agent-'));
    await inTree('rm /usr/bin/node /usr/bin/nodejs');
    await copyFile(path.join(folder, executable ?? ''), path.join(tree, 'root/agent'));
    t.regex(
      await inTree('if command -v node; then exit 1; fi; /root/agent --summary 2>&1 || true'),
      /no program runs whose cached pages are known/,
    );
  });
