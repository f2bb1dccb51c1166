import test from 'ava';
import { refusalIn, settingLines } from './settings-probe.ts';

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\n';

test('the first refusal is named by its command', (t) => {
  t.is(refusalIn(`${greeting}{"return": {}, "id": 0}\r\n{"return": {}, "id": 1}\r\n`), undefined);
  const refused =
    '{"id": 2, "error": {"class": "GenericError", "desc": "Parameter \'multifd-compression\' does not accept value \'zstd\'"}}\n';
  t.is(
    refusalIn(`${greeting}{"return": {}, "id": 0}\n{"return": {}, "id": 1}\n${refused}`),
    "migrate-set-parameters: Parameter 'multifd-compression' does not accept value 'zstd'",
  );
});

test('what is asked is one command a line, and the last one ends QEMU', (t) => {
  const lines = settingLines({ capabilities: [], parameters: {} }).trimEnd().split('\n');
  t.deepEqual(
    lines.map((line) => (JSON.parse(line) as { execute: string }).execute),
    ['qmp_capabilities', 'migrate-set-capabilities', 'migrate-set-parameters', 'quit'],
  );
});
