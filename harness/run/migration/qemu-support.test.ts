/** With QEMU's own answers, where one is installed. */
import test from 'ava';
import { CodedError, isCoded } from '../../../foundation/coded-error.ts';
import { type StockEngine, engines } from '../../../experiments/engines.ts';
import { findQemu } from '../../../qemu/find-qemu.ts';
import { localShell } from '../../probes/local-shell.fixture.ts';
import { quote } from '../../../foundation/shell.ts';
import { qemuSettings } from './qemu-settings.ts';
import { requireQemuSupport } from './qemu-support.ts';

const run = { downtimeLimitMs: 300, migrationGoodputBytesPerSecond: 14_920_000.4 };

test('every engine has the settings that make runs comparable, and its own', (t) => {
  const precopy = qemuSettings(engines.precopy as StockEngine, run);
  t.deepEqual(
    precopy.capabilities.map(({ capability }) => capability),
    ['events', 'return-path', 'switchover-ack'],
  );
  t.is(precopy.parameters['downtime-limit'], 300);
  t.is(precopy.parameters['avail-switchover-bandwidth'], undefined);

  const multifd = qemuSettings(engines['multifd-zstd'] as StockEngine, run);
  t.is(multifd.capabilities.at(-1)?.capability, 'multifd');
  t.is(multifd.parameters['multifd-compression'], 'zstd');
  t.is(multifd.parameters['announce-rounds'], precopy.parameters['announce-rounds']);

  const { restore } = engines;
  t.not(restore.kind, 'restart');
  if (restore.kind !== 'restart')
    t.is(qemuSettings(restore, run).parameters['avail-switchover-bandwidth'], 14_920_000);
});

const installed = findQemu()?.installation;
const withQemu = installed === undefined ? test.skip : test;
const qemu =
  installed === undefined
    ? []
    : [
        'env',
        ...Object.entries(installed.environment).map(([name, value]) => `${name}=${value}`),
        installed.command,
        ...installed.leadingArguments,
      ];
const hosts = { src: localShell, dst: localShell };

for (const name of ['precopy', 'restore', 'balance', 'xbzrle', 'auto-converge'] as const) {
  withQemu(`a QEMU that has what ${name} needs`, async (t) => {
    await t.notThrowsAsync(requireQemuSupport(engines[name], hosts, 300, qemu));
  });
}

const unheardOf: StockEngine = {
  kind: 'stock',
  title: '',
  capabilities: ['teleport' as 'xbzrle'],
  parameters: {},
};
for (const [engine, reason] of [
  [unheardOf, /^QEMU on src does not offer this method: migrate-set-capabilities: .*'teleport'/],
  [
    { ...unheardOf, capabilities: [], parameters: { 'multifd-compression': 'lzw' as 'zstd' } },
    /^QEMU on src does not offer this method: migrate-set-parameters: .*'lzw'/,
  ],
] as const) {
  withQemu(`a QEMU that lacks something: ${reason.source}`, async (t) => {
    const error = await t.throwsAsync(requireQemuSupport(engine, hosts, 300, qemu), {
      instanceOf: CodedError,
      name: 'RunError',
      code: 'engine-unavailable',
    });
    t.regex(error.message, reason);
  });
}

test('a restart asks nothing of QEMU', async (t) => {
  await t.notThrowsAsync(requireQemuSupport(engines.restart, hosts, 300, ['/no/such/qemu']));
});

withQemu('a QEMU that does not start is a failure, and lacks nothing', async (t) => {
  const error = await t.throwsAsync(requireQemuSupport(engines.precopy, hosts, 300, ['/no/such/qemu']));
  t.false(isCoded(error, 'run', 'engine-unavailable'));
  t.regex(error.message, new RegExp(quote('/no/such/qemu').slice(1, -1)));
});
