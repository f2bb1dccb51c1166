/** Boots a new box once: it says whether the box starts at all, and whether this machine's KVM starts it. */
import { access, constants } from 'node:fs/promises';
import { execa } from 'execa';
import { seconds } from '../foundation/quantity.ts';
import type { Log } from '../scripts/cache.ts';

/** libvirt's names: `qemu` emulates. */
export type Driver = 'kvm' | 'qemu';

/** Far more than a machine needs that works. */
const limitMs = { kvm: 120_000, qemu: 1_800_000 } as const;

/**
 * That /dev/kvm is there says little, so it is tried.
 * @throws Error with the console's last words, where the box does not start even without KVM
 */
export async function driverThatBoots(disk: string, log: Log): Promise<Driver> {
  if (await mayUse('/dev/kvm')) {
    if ((await boot(disk, 'kvm', log)).booted) return 'kvm';
    log('the box does not start under KVM here: its machines will be emulated, which is slow');
  } else log('no KVM here: the machines will be emulated, which is slow');
  const { booted, said } = await boot(disk, 'qemu', log);
  if (!booted) throw new Error(`the box does not start:\n${said.slice(-2000)}`);
  return 'qemu';
}

async function mayUse(device: string): Promise<boolean> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

interface Boot {
  readonly booted: boolean;
  /** On the console. */
  readonly said: string;
}

async function boot(disk: string, driver: Driver, log: Log): Promise<Boot> {
  const processor = driver === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg,thread=multi'];
  const nothing = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-m', '512'];
  // The box stays as it is: what the machine writes goes into a file that ends with it.
  const devices = ['-drive', `file=${disk},if=virtio,snapshot=on`, '-serial', 'stdio'];
  const startedMs = performance.now();
  const qemu = execa(
    'setpriv',
    ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...nothing, ...processor, ...devices],
    {
      stdin: 'ignore',
      all: true,
      buffer: false,
      reject: false,
      timeout: limitMs[driver],
      killSignal: 'SIGKILL',
    },
  );
  let said = '';
  let booted = false;
  // To its end, without which the process has none either.
  for await (const chunk of qemu.all) {
    said += String(chunk);
    // The prompt ends no line.
    if (booted || !/\blogin: *$/.test(said)) continue;
    booted = true;
    log(`the box starts under ${driver} in ${seconds(performance.now() - startedMs)}`);
    qemu.kill('SIGKILL');
  }
  await qemu;
  return { booted, said };
}
