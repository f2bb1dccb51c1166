/** The provisioning script in the hosts' root file system, in a container without network; no lab is started. */
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { prepareLocalTestbed } from './start.ts';

const script = path.resolve(import.meta.dirname, '../../../vagrant/provision.sh');

/** What a run says and which files it writes, for several runs one after the other. Everything is gone when this returns. */
const program = `set -euo pipefail
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cp "$2" /mnt/root/run/provision.sh
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
changes() { (cd /mnt/upper && find . -newer /mnt/stamp -not -type d -printf '%p\\n' | sort); }
provision() {
  echo "== $*"
  touch /mnt/stamp
  chroot /mnt/root bash /run/provision.sh "$@" || echo "exit $?"
  changes
}
for role in lab host client; do provision "$role"; done
echo "# by hand" >> /mnt/root/etc/ssh/sshd_config.d/10-poolshift.conf
chroot /mnt/root systemctl --quiet enable apt-daily.timer
sleep 0.05
provision host
provision host
provision host 10.20.0.3:/srv/export
provision host 10.20.0.3:/srv/export
grep nfs /mnt/root/etc/fstab
provision host 10.20.0.4:/srv/export
grep nfs /mnt/root/etc/fstab
provision unknown
`;

const mountLine = (source: string): string =>
  `${source} /mnt/poolshift nfs vers=4.2,hard,proto=tcp,nconnect=4,nofail,_netdev 0 0`;

test('run twice it changes nothing the second time; what was changed by hand it puts right', async (t) => {
  const rootfs = await prepareLocalTestbed(t.log);
  const contained = ['--mount', '--net', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  const { stdout, stderr } = await execa(
    'unshare',
    [...contained, '--propagation', 'private', 'bash', '-c', program, 'bash', rootfs, script],
    { stdin: 'ignore' },
  );
  const runs = stdout.split(/^== /m).slice(1);
  t.deepEqual(
    runs.map((run) => run.trim().split('\n')),
    [
      ['lab'],
      ['host'],
      ['client'],
      [
        'host',
        'changed /etc/ssh/sshd_config.d/10-poolshift.conf',
        'changed apt-daily.timer',
        './etc/ssh/sshd_config.d/10-poolshift.conf',
      ],
      ['host'],
      ['host 10.20.0.3:/srv/export', 'changed /etc/fstab', './etc/fstab'],
      ['host 10.20.0.3:/srv/export', mountLine('10.20.0.3:/srv/export')],
      [
        'host 10.20.0.4:/srv/export',
        'changed /etc/fstab',
        './etc/fstab',
        // In the place of the first one.
        mountLine('10.20.0.4:/srv/export'),
      ],
      ['unknown', 'exit 2'],
    ],
  );
  t.regex(stderr, /usage: .* host \[SERVER:\/EXPORT\] \| nfs \[FOLDER\] \| client \| lab/);
});
