import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { optionsSchema, resolveConfiguration } from '../experiments/configuration.ts';
import { anyManifestSchema, manifestSchema, readManifest, writeManifest } from './manifest.ts';
import { manifest } from './record.fixture.ts';

test('the configuration of any command line fits the manifest', (t) => {
  for (const options of [
    {},
    { profile: 'paper', mem: '24', engine: 'restore' },
    { vmMemory: 256, tableData: 8 },
  ]) {
    const configuration = resolveConfiguration(optionsSchema.parse(options));
    const parsed = manifestSchema.parse({ ...manifest, configuration });
    t.deepEqual(parsed.configuration, configuration, 'nothing is left out');
  }
});

test('a manifest is written whole and read back', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-manifest-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeManifest(folder, manifest);
  t.deepEqual(await readManifest(folder), manifest);
  await t.throwsAsync(writeManifest(folder, { ...manifest, repeat: 0 }));
  t.deepEqual(await readManifest(folder), manifest, 'a wrong one does not replace it');
  const file = path.join(folder, 'manifest.json');
  await writeFile(file, (await readFile(file, 'utf8')).slice(0, 100));
  await t.throwsAsync(readManifest(folder), { code: 'not-readable' });
});

test('a manifest from before links had rates of their own gives that of all', (t) => {
  const { storageLinkBitsPerSecond, serviceLinkBitsPerSecond, ...configuration } = manifest.configuration;
  t.is(storageLinkBitsPerSecond, serviceLinkBitsPerSecond);
  for (const schema of [manifestSchema, anyManifestSchema]) {
    const old = schema.parse({ ...manifest, configuration: { ...configuration, linkBitsPerSecond: 1e9 } });
    t.like(old.configuration, { storageLinkBitsPerSecond: 1e9, serviceLinkBitsPerSecond: 1e9 });
    const apart = schema.parse({
      ...manifest,
      configuration: { ...manifest.configuration, storageLinkBitsPerSecond: 1e6 },
    });
    t.is(apart.configuration.storageLinkBitsPerSecond, 1e6);
  }
});

test('a manifest from before `paperRowGib` gives the row by its old name, as text', (t) => {
  const { paperRowGib, ...configuration } = manifest.configuration;
  const old = (memoryRow: string) => ({ ...manifest, configuration: { ...configuration, memoryRow } });
  t.deepEqual(manifestSchema.parse(old(String(paperRowGib))), manifest, 'and is written by the new one');
  t.is(anyManifestSchema.parse(old('32')).configuration.paperRowGib, 32);
  for (const row of ['32', 'x', ''])
    t.throws(() => manifestSchema.parse(old(row)), { message: /paperRowGib/ });
  const neither = { ...manifest, configuration };
  for (const schema of [manifestSchema, anyManifestSchema])
    t.throws(() => schema.parse(neither), { message: /paperRowGib/ });
});
