import test from 'ava';
import { parseBootSteps } from './machine.ts';

test('boot steps are read between the server’s and the kernel’s lines', (t) => {
  const console =
    'x\r\nPOOLSHIFT 1.84 initrd\r\n[    2.1] EXT4-fs\r\nPOOLSHIFT 5.24 server-up\r\nPOOLSHIFT 9.10 server-exited 137';
  t.deepEqual(parseBootSteps(console), [
    { uptimeSeconds: 1.84, what: 'initrd' },
    { uptimeSeconds: 5.24, what: 'server-up' },
    { uptimeSeconds: 9.1, what: 'server-exited 137' },
  ]);
});
