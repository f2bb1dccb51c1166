/**
 * What the provisioning script leaves alone on a machine that somebody has: run with this machine's programs, but with /etc, /run and
 * /usr/sbin of its own, and with programs in place of those that would change the machine. Needs root.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { provisionScript } from './provision.ts';

const asRoot = process.getuid?.() === 0 ? test : test.skip;

/** Units that are enabled lie in $state/units. apt-get enables what its packages bring, and notes which policy it found. */
const programs: Readonly<Record<string, string>> = {
  systemctl: `case $1 in
  is-enabled) [ -e "$state/units/$2" ] && echo enabled || exit 1 ;;
  disable) rm "$state/units/$2" ;;
esac`,
  'dpkg-query': `for package; do :; done
[ -e "$state/packages/$package" ] && printf installed`,
  'apt-get': `case "$*" in *install*) ;; *) exit 0 ;; esac
cat /usr/sbin/policy-rc.d > "$state/policy-then"
[ ! -e "$state/fails" ] || exit 100
touch "$state/units/haproxy.service" "$state/units/rpcbind.socket"`,
  df: 'printf "size\\n999999999999\\n"',
};

interface Machine {
  /** Enabled before. */
  readonly units: readonly string[];
  readonly policy?: string;
  /** "9.2" knows no PerSourcePenalties. */
  readonly openssh?: '9.2' | '10.0';
  /** systemd does not run: a tree that an image is made of. */
  readonly isTree?: boolean;
  /** What apt-get does. */
  readonly fails?: boolean;
}

interface Left {
  readonly units: readonly string[];
  readonly policyThen: string;
  readonly policy: string | undefined;
  readonly sshd: string;
  readonly stdout: string;
}

async function provision(t: ExecutionContext, role: string, machine: Machine): Promise<Left> {
  const state = await mkdtemp(path.join(tmpdir(), 'poolshift-provision-'));
  t.teardown(() => rm(state, { recursive: true, force: true }));
  const at = (...names: readonly string[]): string => path.join(state, ...names);
  for (const folder of ['bin', 'units', 'packages', 'left']) await mkdir(at(folder));
  for (const unit of machine.units) await writeFile(at('units', unit), '');
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(at('bin', name), `#!/bin/bash\n${body}\n`);
    await chmod(at('bin', name), 0o755);
  }
  await writeFile(
    at('bin', 'sshd'),
    machine.openssh === '9.2'
      ? '#!/bin/sh\nexit 1\n'
      : `#!/bin/sh\n[ "$1 $4 $5" = '-G -o PerSourcePenalties no' ]\n`,
  );
  await chmod(at('bin', 'sshd'), 0o755);
  if (machine.policy !== undefined) await writeFile(at('policy'), machine.policy);
  if (machine.fails === true) await writeFile(at('fails'), '');
  const program = `set -eu
for folder in /etc /run /usr/sbin; do mount -t tmpfs tmpfs "$folder"; done
cp "$state/bin/sshd" /usr/sbin/sshd
${machine.isTree === true ? '' : 'mkdir -p /run/systemd/system'}
if [ -e "$state/policy" ]; then cp "$state/policy" /usr/sbin/policy-rc.d; fi
bash "$1" "$2" || echo "exit $?"
cp /etc/ssh/sshd_config.d/10-poolshift.conf "$state/left/sshd" 2> /dev/null || true
ls /usr/sbin > "$state/left/programs"
cp /usr/sbin/policy-rc.d "$state/left/policy" 2> /dev/null || true
ls "$state/units" > "$state/left/units"`;
  const namespace = ['--mount', '--propagation', 'private', 'bash', '-c', program, 'bash'];
  const { stdout } = await execa('unshare', [...namespace, provisionScript, role], {
    env: { PATH: `${at('bin')}:/usr/bin:/bin`, state },
    extendEnv: false,
    stdin: 'ignore',
  });
  const left = (name: string): Promise<string> => readFile(at('left', name), 'utf8').catch(() => '');
  t.regex(await left('programs'), /^(?:policy-rc\.d\n)?sshd\n$/);
  const policy = await left('policy');
  return {
    units: (await left('units')).trim().split('\n'),
    policyThen: await readFile(at('policy-then'), 'utf8').catch(() => ''),
    policy: policy === '' ? undefined : policy,
    sshd: await left('sshd'),
    stdout,
  };
}

const users = [
  'apt-daily.timer',
  'libvirtd.service',
  'logrotate.timer',
  'nfs-server.service',
  'rpcbind.socket',
];

asRoot('services that somebody has enabled stay so, and those that came with packages do not', async (t) => {
  const { units, stdout } = await provision(t, 'client', { units: users });
  t.deepEqual(units, users);
  t.regex(stdout, /^changed haproxy\.service$/m);
  t.deepEqual((await provision(t, 'nfs', { units: users })).units, users);
});

asRoot(
  'in a tree that an image is made of, and in the lab, nothing is enabled that a run does not need',
  async (t) => {
    for (const [role, isTree] of [
      ['nfs', true],
      ['lab', false],
    ] as const) {
      const { units } = await provision(t, role, { units: users, isTree });
      t.deepEqual(units, role === 'nfs' ? [''] : ['nfs-server.service']);
    }
  },
);

const policy = '#!/bin/sh\n# by hand\nexit 0\n';

asRoot("a machine's own policy for starts is put back, also where the installation fails", async (t) => {
  for (const fails of [false, true]) {
    const left = await provision(t, 'client', { units: [], policy, fails });
    t.regex(left.policyThen, /^exit 101$/m);
    t.is(left.policy, policy);
    t.is(left.stdout.includes('exit 100'), fails);
  }
});

asRoot('a policy is not left where there was none, or one of a run that was killed', async (t) => {
  const { policyThen, policy: after } = await provision(t, 'client', { units: [] });
  t.is(after, undefined);
  t.is((await provision(t, 'client', { units: [], policy: policyThen })).policy, undefined);
});

asRoot('sshd is given no option that it does not know', async (t) => {
  const known = await provision(t, 'client', { units: [], openssh: '10.0' });
  t.is(known.sshd, 'PerSourcePenalties no\nUseDNS no\nMaxSessions 100\nMaxStartups 100\n');
  const unknown = await provision(t, 'client', { units: [], openssh: '9.2' });
  t.is(unknown.sshd, 'UseDNS no\nMaxSessions 100\nMaxStartups 100\n');
});
