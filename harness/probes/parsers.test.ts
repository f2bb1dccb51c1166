/** What the probes read from the kernel and from fping, in real excerpts. */
import test from 'ava';
import { parseKilobytes, parseProcessCpuMs } from './load.ts';
import { parseNetDev } from './nic.ts';
import { parseReplyMs } from './ping.ts';
import { migrationFigures } from './qmp.ts';

test('/proc/net/dev', (t) => {
  const counters = parseNetDev(
    [
      'Inter-|   Receive                                                |  Transmit',
      ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
      '    lo:    4033      39    0    0    0     0          0         0     4034      39    0    0    0     0       0          0',
      '  eth0:566050623   14761    0    0    0     0          0         0   953524    8494    0    0    0     0       0          0',
      'eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16',
      '',
    ].join('\n'),
  );
  t.deepEqual(counters.get('lo'), { inBytes: 4033, outBytes: 4034 });
  t.deepEqual(counters.get('eth0'), { inBytes: 566050623, outBytes: 953524 }, 'no space after the colon');
  t.deepEqual(counters.get('eth0:1'), { inBytes: 1, outBytes: 9 }, 'a colon in the name');
  t.is(counters.size, 3);
});

test('fping: replies count, everything else does not', (t) => {
  const reply = '[1795544943.47475] 127.0.0.1 : [198], 64 bytes, 0.035 ms (0.028 avg, 0% loss)';
  t.is(parseReplyMs(reply), 1795544943474.75);
  t.is(
    parseReplyMs('[1795544943.48468] 10.30.0.10  : [65536], 64 bytes, 312 ms (0.028 avg, 3% loss)'),
    1795544943484.68,
  );
  for (const other of [
    '[1795544943.47475] 127.0.0.1 : [198], timed out (0.028 avg, 2% loss)',
    'ICMP Host Unreachable from 10.30.0.1 for ICMP Echo sent to 10.30.0.10',
    '127.0.0.1 : xmt/rcv/%loss = 600/600/0%, min/avg/max = 0.010/0.028/0.312',
    '',
  ]) {
    t.is(parseReplyMs(other), undefined, other);
  }
  for (let cut = 0; cut < reply.indexOf('bytes, ') + 'bytes, '.length; cut += 1) {
    t.is(parseReplyMs(reply.slice(0, cut)), undefined, `cut at ${cut}`);
  }
});

test('/proc/PID/stat and meminfo', (t) => {
  t.is(
    parseProcessCpuMs('4242 (a) b (c)) S 1 4242 4242 0 -1 4194560 100 0 0 0 123 45 7 8 20 0 4 0 99 1 2'),
    1680,
  );
  t.is(parseKilobytes('MemTotal:  24 kB\nMemAvailable:   23456 kB\n', 'MemAvailable'), 23456 * 1024);
  t.is(parseKilobytes('Name:\tkthreadd\n', 'VmRSS'), 0);
});

test('query-migrate: every number is kept under its own name', (t) => {
  t.deepEqual(
    migrationFigures({
      status: 'active',
      'total-time': 1234,
      ram: { remaining: 5, 'dirty-pages-rate': 0, mbps: 12.5 },
      'blocked-reasons': ['x'],
    }),
    { 'total-time': 1234, 'ram.remaining': 5, 'ram.dirty-pages-rate': 0, 'ram.mbps': 12.5 },
  );
});
