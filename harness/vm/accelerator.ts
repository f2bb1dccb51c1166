/** Whether a host's KVM really runs the guest's kernel: that /dev/kvm exists says little, so it is tried. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { prepare, type Log } from '../../scripts/cache.ts';
import type { Host } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { processorArguments, type Accelerator } from '../../qemu/machine-arguments.ts';

interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** One line for the user: what was tried and what came of it. */
  readonly reason: string;
}

interface ProbeOptions {
  /** Paths on the host. */
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly log: Log;
}

/** A kernel that boots under KVM needs a second or two, and where KVM's host is itself emulated half a minute; it talks all the while. */
const maxProbeSeconds = 300;
/** One that says nothing for so long hangs. */
const maxSilentSeconds = 30;
const silence = 'POOLSHIFT silent';

/** What a guest on this host depends on: kernel, processor, whether there is a KVM, and QEMU's version. @throws CodedError 'host' */
export async function hypervisorOf(host: Host): Promise<string> {
  const { stdout } = await host.run(
    `uname -r; grep -m1 "^model name" /proc/cpuinfo; test -w /dev/kvm && echo kvm; ${quote(host.qemuBinary)} --version | head -n 1`,
  );
  return stdout;
}

/**
 * The answer is cached for this machine, kernel and QEMU.
 * @throws CodedError 'host' if the host cannot be asked
 */
export async function probeAccelerator(host: Host, options: ProbeOptions): Promise<AcceleratorChoice> {
  const entry = await prepare({
    name: 'accelerator',
    keyParts: [await hypervisorOf(host), options.kernelPath],
    log: options.log,
    build: async (dir) => {
      const choice = await tryKvm(host, options);
      await writeFile(path.join(dir, 'choice.json'), JSON.stringify(choice));
    },
  });
  return JSON.parse(await readFile(path.join(entry, 'choice.json'), 'utf8')) as AcceleratorChoice;
}

async function tryKvm(
  host: Host,
  { kernelPath, initrdPath }: Omit<ProbeOptions, 'log'>,
): Promise<AcceleratorChoice> {
  const { stdout: device } = await host.run('test -w /dev/kvm && echo present || true');
  if (device === '') return { accelerator: 'tcg', reason: 'this host has no usable /dev/kvm' };
  // The initial RAM disk says so and powers off as soon as it runs (guest/image/initrd-init.sh).
  const command = [
    `${quote(host.qemuBinary)} -nodefaults -no-user-config -display none -no-reboot -machine q35 -m 256M -serial stdio`,
    ...processorArguments('kvm'),
    `-kernel ${kernelPath} -initrd ${initrdPath} -append 'console=ttyS0 earlyprintk=ttyS0 panic=-1 poolshift.probe'`,
  ].join(' ');
  const { stdout } = await host.run(probeScript(command, maxSilentSeconds), {
    timeoutMs: (maxProbeSeconds + 10) * 1000,
  });
  return judgeProbe(stdout);
}

/** For bash: runs `command` to its end, or until it has printed nothing for so long, which is said. */
export function probeScript(command: string, silentSeconds: number): string {
  return `exec 3< <(exec timeout --kill-after=2 ${maxProbeSeconds} ${command} < /dev/null 2>&1)
probe=$!
while true; do
  IFS= read -r -t ${silentSeconds} line <&3
  status=$?
  printf '%s\\n' "$line"
  [ $status = 0 ] || break
done
if [ $status -gt 128 ]; then echo '${silence}'; fi
kill $probe 2> /dev/null || true`;
}

/** Judges what QEMU and the guest's console printed. */
export function judgeProbe(output: string): AcceleratorChoice {
  if (/POOLSHIFT \d+\.\d+ initrd/.test(output))
    return { accelerator: 'kvm', reason: "the guest's kernel boots under KVM" };
  const lastLine =
    output
      .trim()
      .split(/[\r\n]+/)
      .at(-1) ?? '';
  const hung = lastLine === '' || lastLine === silence || lastLine.includes('terminating on signal');
  const sign = hung ? 'it hangs' : `QEMU says: ${lastLine.slice(0, 160)}`;
  return { accelerator: 'tcg', reason: `the guest's kernel does not boot under KVM here (${sign})` };
}
