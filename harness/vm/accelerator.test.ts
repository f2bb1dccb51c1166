import test from 'ava';
import { execa } from 'execa';
import { judgeProbe, probeScript } from './accelerator.ts';

test('KVM is used when the guest’s first program ran', (t) => {
  t.is(judgeProbe('[    0.3] Run /init as init process\r\nPOOLSHIFT 0.41 initrd\r\n').accelerator, 'kvm');
});

test('a QEMU that refuses or a kernel that hangs means emulation, and the reason says which', (t) => {
  const refused = judgeProbe('qemu-system-x86_64: error: failed to set MSR 0x10a to 0xc000069\n');
  t.is(refused.accelerator, 'tcg');
  t.regex(refused.reason, /failed to set MSR/);
  t.regex(judgeProbe('').reason, /hangs/);
  t.regex(judgeProbe('qemu-system-x86_64: terminating on signal 15 from pid 8 (timeout)').reason, /hangs/);
});

test('a guest that talks is heard to its end, one that falls silent is ended', async (t) => {
  const heard = async (program: string): Promise<string> => {
    const { stdout } = await execa('bash', ['-c', probeScript(`bash -c '${program}'`, 1)]);
    return stdout;
  };
  const talks = await heard('for word in 1 2 3; do echo $word; sleep 0.6; done; echo POOLSHIFT 9.10 initrd');
  t.is(judgeProbe(talks).accelerator, 'kvm');
  t.regex(judgeProbe(await heard('echo Booting; printf half; exec sleep 60')).reason, /hangs/);
  t.regex(judgeProbe(await heard('echo no such accelerator >&2; exit 1')).reason, /no such accelerator/);
});
