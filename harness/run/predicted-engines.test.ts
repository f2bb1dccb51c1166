/** The engine knows nothing of experiments, so that its predictions speak of each of their engines is seen to here. */
import test from 'ava';
import { notSimulated, simulatedEngines } from '../../engine/simulation/simulate.ts';
import { engineNames } from '../../experiments/engines.ts';

test('every engine is predicted, or said not to be', (t) => {
  t.deepEqual([...simulatedEngines, ...Object.keys(notSimulated)].sort(), [...engineNames].sort());
});
