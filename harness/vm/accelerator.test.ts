import test from 'ava';
import { judgeProbe } from './accelerator.ts';

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
