/** What the doctor says of hosts with which nothing is wrong, and of hosts with which something is. About 20 s. */
import type { TestFn } from 'ava';
import type { Testbed } from '../testbed/host.ts';
import type { Finding } from './finding.ts';

interface DoctorUnderTest {
  /** Asked when tests run, as the path. The hosts are behind an inventory, and nobody else uses them. */
  readonly hosts: () => Testbed['hosts'];
  readonly exportPath: () => string;
  /** Its findings, with an inventory that expects this host key of dst. */
  readonly says: (changes?: { readonly dstHostKey?: string }) => Promise<readonly Finding[]>;
  readonly strangersKey: () => Promise<string>;
}

export function testDoctor(test: TestFn, { hosts, exportPath, says, strangersKey }: DoctorUnderTest): void {
  test.serial('the doctor finds nothing wrong with these hosts, and leaves nothing there', async (t) => {
    const findings = await says();
    t.deepEqual(
      findings.filter(({ check, status }) => check !== 'KVM' && status !== 'ok'),
      [],
    );
    const foundOf = (wanted: string, ...hosts: readonly string[]): string =>
      findings.find(({ check, hosts: of }) => check === wanted && String(of) === String(hosts))?.found ?? '';
    for (const host of ['src', 'dst'])
      t.regex(foundOf('KVM', host), /^only TCG works: .|^a VM starts under KVM/);
    t.regex(foundOf('migration link', 'src', 'dst'), /^carries \d+ Mbit\/s/);
    t.regex(foundOf('NFS coherence', 'dst', 'src'), /^4 writes of dst read by src at once$/);
    t.is((await hosts().nfs.run(`ls -A ${exportPath()}`)).stdout, 'check.img\n');
    t.is((await hosts().src.run('pgrep -c "qemu|iperf3"', { okExitCodes: [0, 1] })).stdout, '0\n');
  });

  test.serial('the doctor names what is wrong, and goes on with the rest', async (t) => {
    const { src } = hosts();
    const busy = src.spawn('exec socat TCP-LISTEN:4445,reuseaddr -');
    await src.run('until ss -ltn | grep -q :4445; do sleep 0.05; done');
    const findings = await says({ dstHostKey: await strangersKey() });
    await busy.stop();
    const problems = findings.filter(({ status }) => status === 'problem');
    t.deepEqual(
      problems.map(({ check, hosts, found }) => `${String(hosts)} ${check}: ${found}`),
      ['src ports: taken: 4445 (--verify-ram) by socat', 'dst ssh: Host key verification failed.'],
    );
    const unchecked = findings.filter(({ status }) => status === 'not-checked');
    t.true(unchecked.every(({ found }) => found === 'needs ssh to dst'));
    t.true(unchecked.some(({ check }) => check === 'migration link'));
  });
}
