/** That an inventory's machines are one user's at a time. About 10 s. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestFn } from 'ava';
import { execa } from 'execa';
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Finding } from '../../doctor/finding.ts';
import type { Host, Testbed } from '../host.ts';
import { holdScript, lockFile } from './hold.ts';

interface HoldingUnderTest {
  /** Asked when tests run: a testbed of the inventory that has the machines. It is closed. */
  readonly listed: () => Testbed;
  /** One of the machines. */
  readonly client: () => Host;
  /** Starts another one. */
  readonly startAgain: () => Promise<Testbed>;
  /** hosts.yaml of these machines. */
  readonly listing: () => Promise<string>;
  readonly doctorSays: () => Promise<readonly Finding[]>;
}

export function testHolding(
  test: TestFn,
  { listed, client, startAgain, listing, doctorSays }: HoldingUnderTest,
): void {
  test.serial('machines that somebody has are refused to others, until he ends or is killed', async (t) => {
    // Only what is to wait does.
    process.env['POOLSHIFT_LAB_WAIT'] = '0';
    const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-holders-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const file = path.join(folder, 'hosts.yaml');
    await writeFile(file, await listing());
    const fixture = path.join(import.meta.dirname, 'holder.fixture.ts');
    const another = () =>
      execa(process.execPath, [fixture, file], { env: { TMPDIR: folder }, reject: false });
    const whoHas = (pid: number | undefined): RegExp =>
      new RegExp(`^src is in use since 20\\S+Z by \\S+@\\S+, process ${pid ?? 0} \\([\\w.]+\\); wait for`);
    t.regex((await another()).stdout, whoHas(process.pid));

    await listed().close();
    const other = another();
    const [said] = (await once(other.stdout, 'data')) as [Buffer];
    t.is(said.toString(), 'held\n');
    const refused = await t.throwsAsync(startAgain(), { instanceOf: CodedError, name: 'InventoryError' });
    t.regex(refused.message, whoHas(other.pid));
    const findings = await doctorSays();
    t.deepEqual(
      findings.filter(({ status }) => status === 'problem').map(({ check }) => check),
      ['in use'],
    );
    t.is(findings.find(({ check }) => check === 'migration link')?.status, 'not-checked');

    process.env['POOLSHIFT_LAB_WAIT'] = '1';
    const queued = startAgain();
    await sleep(1500);
    other.kill('SIGKILL');
    await (await queued).close();
  });

  test.serial('a holder of whom nothing is heard loses the machine', async (t) => {
    const holder = { id: 'x', user: 'nobody', pid: 1, owner: 'test', since: new Date().toISOString() };
    const silent = client().spawn(holdScript(holder, 1));
    t.deepEqual(await silent.lines[Symbol.asyncIterator]().next(), { done: false, value: 'taken' });
    t.is((await silent.ended).exitCode, 0);
    t.is((await client().run(`flock --nonblock ${lockFile} echo free`)).stdout, 'free\n');
  });
}
