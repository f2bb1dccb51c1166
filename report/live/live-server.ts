/** Serves the live view on loopback: the page, and one JSON answer that it asks for again and again. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pageContent } from '../render/page.ts';
import type { LiveSet } from './live-set.ts';
import { livePage } from './live-page.ts';

interface LiveServer {
  /** "http://127.0.0.1:41234/" */
  readonly url: string;
  /** Also ends open connections. */
  readonly close: () => Promise<void>;
}

const headers = {
  'cache-control': 'no-store',
  'content-security-policy': "frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** @param port 0 takes a free one. Rejects with node's error, such as EADDRINUSE. */
export async function serveLive(live: LiveSet, port: number): Promise<LiveServer> {
  const server = createServer((request, response) => {
    void answer(live, request, response, (server.address() as AddressInfo).port);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function answer(
  live: LiveSet,
  request: IncomingMessage,
  response: ServerResponse,
  port: number,
): Promise<void> {
  const send = (status: number, type: string, body: string): void => {
    response.writeHead(status, { ...headers, 'content-type': `${type}; charset=utf-8` });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  try {
    // A name that somebody else's page made to point here (DNS rebinding) is not one of these.
    if (![`127.0.0.1:${port}`, `localhost:${port}`].includes(request.headers.host ?? '')) {
      send(403, 'text/plain', 'only as 127.0.0.1 or localhost\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(405, 'text/plain', 'nothing can be changed here\n');
      return;
    }
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (url.pathname === '/') send(200, 'text/html', await livePage((await live.done()).set));
    else if (url.pathname === '/live.json')
      send(200, 'application/json', JSON.stringify(await newsOf(live, url.searchParams.get('version'))));
    else send(404, 'text/plain', 'there is nothing here\n');
  } catch (error) {
    send(500, 'text/plain', `${(error as Error).message}\n`);
  }
}

/** The set's figures are sent only to a page that does not have them. */
async function newsOf(live: LiveSet, version: string | null): Promise<unknown> {
  const running = (await live.running()) ?? null;
  const { set, version: current } = await live.done();
  const progress = (await live.progress()) ?? null;
  if (version === current) return { running, progress, version };
  return {
    running,
    progress,
    version: current,
    set: pageContent(set, 'en'),
  };
}
