/** Gets the page list from the agent and hands it to who works with it. */
import type { EngineConnection } from '../wire/connection.ts';
import { frameTypes } from '../wire/frame.ts';
import { encodeMessage } from '../wire/messages.ts';
import type { QemuStream } from './qemu-stream.ts';
import type { SourceOptions } from './source-options.ts';
import { listedEvent } from './source-report.ts';

/**
 * Without a list the migration goes on as one without storage.
 *
 * @param signal ends the request; after it nothing is given up any more
 * @returns whether there is a list
 */
export async function askForList(
  { requestList, ram, onEvent }: Pick<SourceOptions, 'requestList' | 'ram' | 'onEvent'>,
  { pages, hashKey }: Pick<QemuStream, 'pages' | 'hashKey'>,
  destination: EngineConnection,
  signal: AbortSignal,
): Promise<boolean> {
  if (requestList === undefined || ram === undefined) {
    pages.giveUpList('not-asked', 'no agent or no guest memory was given');
    return false;
  }
  const answer = await requestList(signal).catch((error: unknown) => {
    const { code, message } = error as Error & { readonly code?: string };
    if (!signal.aborted) pages.giveUpList(code ?? 'failed', message);
  });
  if (answer === undefined) return false;
  const { sources } = answer.list;
  const message = encodeMessage({ sources, hashKey: hashKey.toString('hex') });
  if (message.length > frameTypes.sources.maxBytes) {
    pages.giveUpList('too-large', `the names of its sources take ${message.length} bytes`);
    return false;
  }
  onEvent(listedEvent(answer));
  pages.takeList(answer.list);
  // Not compressed: the guest chose the names beside the key.
  destination.send('sources', message);
  return true;
}
