import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { requestPageList, requestStatus } from '../../engine/list/agent-client.ts';
import { GuestError } from './guest-error.ts';
import type { CachingProgram } from './page-finder.ts';
import { serve } from './serve.ts';
import { Turns } from './turns.ts';

/** The agent behind a unix socket: what QEMU and the virtio port do in a guest. */
async function agent(
  t: ExecutionContext,
  programs: () => Promise<readonly CachingProgram[]>,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'agent-'));
  const path = join(folder, 'agent.sock');
  const server = createServer((socket) => {
    const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    socket.on('error', () => undefined);
    void serve(
      {
        read: async () => {
          const next = await chunks.next();
          return next.done === true ? undefined : next.value;
        },
        write: async (bytes) => {
          socket.write(bytes);
        },
      },
      new Turns(),
      async () => ({ programs: await programs(), failures: [] }),
    );
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  return path;
}

const broken = (error: Error, pid = 1): CachingProgram => ({
  pid,
  description: 'mariadb 10.11 (pid 1)',
  isReady: () => true,
  writeDirtyPages: async () => {
    throw new GuestError('clean-failed', 'it does not listen');
  },
  findPages: async () => {
    throw error;
  },
});

test('what goes wrong in the guest becomes an answer, and the next request is served', async (t) => {
  let current: readonly CachingProgram[] = [];
  const path = await agent(t, async () => current);
  const refusal = async (clean: 'none' | 'checkpoint' = 'none'): Promise<string> => {
    const error = await t.throwsAsync(requestPageList(path, { clean }), {
      instanceOf: CodedError,
      name: 'AgentError',
    });
    t.is(error.code, 'refused');
    return error.message;
  };
  t.regex(await refusal(), /no program runs/);
  current = [broken(new GuestError('unknown-layout', 'no cached page was found'))];
  t.regex(await refusal(), /no cached page/);
  t.regex(await refusal('checkpoint'), /does not listen/);
  current = [broken(new Error('EIO: i/o error, read'))];
  t.regex(await refusal(), /i\/o error/);
  // Beyond the largest number that Linux gives: as a server that has just ended.
  current = [broken(new Error('ENOENT: no such file or directory'), 2 ** 22 + 1)];
  t.regex(await refusal(), /no program runs/);
  current = [broken(new Error('never asked'))];
  const { servers, residentBytes, pageCacheBytes } = await requestStatus(path);
  t.deepEqual(servers, ['mariadb 10.11 (pid 1)']);
  t.true(residentBytes > 1e6);
  t.true(pageCacheBytes > 0 && pageCacheBytes < totalmem());
});
