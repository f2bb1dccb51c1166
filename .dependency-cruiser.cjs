/** One-way layers (docs/architecture.md). A folder may import only what its rule leaves open. */
const only = (from, allowed, comment) => ({
  name: `${from.replace('/', '-')}-imports`,
  comment,
  severity: 'error',
  from: { path: `^${from}/` },
  to: {
    path: '^(foundation|qemu|experiments|record|harness|engine|guest|operate|report|reproduce|vagrant|scripts|bench)/',
    pathNot: `^(${[from, ...allowed].join('|')})/`,
  },
});

/** Arrows between the engine's folders go down only, too. */
const onlyInEngine = (folder, allowed) => ({
  name: `engine-${folder}-imports`,
  comment:
    'The engines use the core, the core uses the formats, and nobody uses the engines but the command line.',
  severity: 'error',
  from: { path: `^engine/${folder}/`, pathNot: '(\\.test\\.ts$|/testing/)' },
  to: { path: '^engine/', pathNot: `^engine/(${[folder, ...allowed].join('|')})/` },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-dev-dependencies-in-product-code',
      severity: 'error',
      from: {
        path: '^(foundation|qemu|experiments|record|harness|engine|guest|operate|report|reproduce)/',
        pathNot: '\\.(test|fixture)\\.ts$',
      },
      to: { dependencyTypes: ['npm-dev'], pathNot: 'node_modules/@types/' },
    },
    only('experiments', ['foundation'], 'Experiments are data; they know nothing of how they are run.'),
    only(
      'record',
      ['foundation', 'experiments'],
      'The recorded format uses the words of experiments; whoever writes or reads results uses it.',
    ),
    only('foundation', [], 'What everything stands on knows nobody.'),
    only('qemu', ['foundation'], 'The one place that speaks to QEMU knows nobody who uses it.'),
    only(
      'engine',
      ['foundation', 'qemu', 'record'],
      'The engine knows the events that it reports, and predictions read recorded runs.',
    ),
    {
      name: 'engine-speaks-to-no-qemu',
      comment: 'The engine sees QEMU through its stream only; its tests start real ones.',
      severity: 'error',
      from: { path: '^engine/', pathNot: '\\.test\\.ts$|/testing/' },
      to: { path: '^qemu/' },
    },
    onlyInEngine('list', []),
    onlyInEngine('stream', ['list']),
    onlyInEngine('wire', ['list']),
    onlyInEngine('storage', ['list']),
    onlyInEngine('core', ['list', 'stream', 'wire']),
    onlyInEngine('source', ['core', 'list', 'stream', 'wire']),
    onlyInEngine('destination', ['core', 'list', 'stream', 'wire', 'storage']),
    onlyInEngine('recovery', ['core', 'list', 'stream', 'wire']),
    onlyInEngine('simulation', ['core', 'list', 'stream', 'wire']),
    {
      name: 'engine-core-without-io',
      comment:
        'What is decided is decided without sockets, files and processes: the simulation and the tests drive it.',
      severity: 'error',
      from: { path: '^engine/core/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(node:)?(fs|net|tls|dgram|child_process)(/|$)', reachable: true },
    },
    only('guest/agent', ['engine/list', 'foundation'], 'Agent and engine share only the page list.'),
    only(
      'guest/image',
      ['foundation', 'scripts'],
      'The image recipe needs the cache of prepared things, nothing else.',
    ),
    only(
      'operate',
      ['foundation', 'qemu', 'record', 'engine'],
      'For people who run VMs: it drives the engines, and knows nothing of experiments.',
    ),
    only(
      'harness',
      ['foundation', 'qemu', 'experiments', 'record', 'engine', 'guest', 'scripts', 'vagrant'],
      'The harness drives everything but the report.',
    ),
    only(
      'report',
      ['foundation', 'experiments', 'record', 'scripts'],
      'The report reads results, never the harness.',
    ),
    only(
      'reproduce',
      ['foundation', 'experiments', 'record', 'engine', 'harness', 'report'],
      'Runs an experiment and reports it: the one room above harness and report.',
    ),
    only('scripts', ['foundation'], 'Set-up stands at the bottom.'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.json'],
    },
  },
};
