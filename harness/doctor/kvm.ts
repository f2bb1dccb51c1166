/** Whether KVM runs a VM on a host: a tiny one is started, since a /dev/kvm that is there says little. */
import type { Host, HostName } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { processorArguments } from '../../qemu/machine-arguments.ts';
import { type Finding, verdict } from './finding.ts';

const bootSeconds = 10;

/**
 * A VM of 64 MiB without disk, with the processor that runs use. It is asked by QMP whether KVM is on, and its firmware's
 * first words on the debug port show that the processor executes.
 */
function kvmScript(qemuBinary: string): string {
  const machine = `-nodefaults -no-user-config -display none -no-reboot -machine q35 -m 64M ${processorArguments('kvm').join(' ')}`;
  return `if [ ! -e /dev/kvm ]; then
  echo "no-device $(grep -Eqw 'vmx|svm' /proc/cpuinfo && echo capable)"
  exit
fi
# QEMU may end before it has been asked.
trap '' PIPE
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
: > "$folder/firmware"
ask() {
  echo '{"execute":"qmp_capabilities"}{"execute":"query-kvm"}'
  for attempt in $(seq ${bootSeconds * 10}); do
    grep -qs SeaBIOS "$folder/firmware" && break
    kill -0 "$1" 2> /dev/null || break
    sleep 0.1
  done
  echo '{"execute":"quit"}'
}
# QEMU's input is what this writes, which ends as soon as QEMU does.
mkfifo "$folder/input"
timeout --kill-after=2 ${bootSeconds + 5} ${quote(qemuBinary)} ${machine} -qmp stdio \\
  -chardev file,id=firmware,path="$folder/firmware" -device isa-debugcon,iobase=0x402,chardev=firmware \\
  < "$folder/input" 2>&1 &
ask $! > "$folder/input" 2> /dev/null
wait
echo
echo "firmware $(head -n 1 "$folder/firmware" | tr -d '\\r')"
`;
}

/** @throws CodedError 'host' */
export async function examineKvm(host: Host): Promise<Finding> {
  const { stdout } = await host.run(kvmScript(host.qemuBinary), { timeoutMs: (bootSeconds + 20) * 1000 });
  return judgeKvm(host.name, stdout);
}

const slower =
  'runs emulate the CPU (TCG) until then: they work, but their numbers are those of an emulated CPU';

/** Judges what the script printed. */
export function judgeKvm(host: HostName, output: string): Finding {
  const warn = (found: string, fix: string): Finding =>
    verdict('KVM', [host], `only TCG works: ${found}`, { status: 'warning', fix: `${fix}; ${slower}` });

  const device = /^no-device ?(.*)$/m.exec(output);
  if (device !== null)
    return device[1] === 'capable'
      ? warn('there is no /dev/kvm', 'modprobe kvm_intel or kvm_amd')
      : warn(
          'there is no /dev/kvm, and the CPU offers no virtualisation',
          "switch VT-x or AMD-V on in the firmware or, in a VM, nested virtualisation on its host's side",
        );
  const firmware = /^firmware (.*)$/m.exec(output)?.[1] ?? '';
  if (/"enabled": true/.test(output) && firmware.includes('SeaBIOS'))
    return verdict('KVM', [host], `a VM starts under KVM (${firmware.trim()})`);
  const said = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('{') && !line.startsWith('firmware'))
    .at(-1)
    ?.replace(/^qemu-system-\S+: /, '')
    .slice(0, 200);
  if (/Permission denied/.test(output))
    return warn('/dev/kvm may not be opened', 'give root the right to use /dev/kvm there');
  return warn(
    said === undefined ? `a VM does nothing for ${bootSeconds} s` : `QEMU says: ${said}`,
    'update kernel and QEMU or, in a VM, the nested virtualisation that its host offers',
  );
}
