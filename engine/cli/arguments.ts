/** Readers of command line values. */
import { InvalidArgumentError } from 'commander';

/** `unix:PATH`. */
export function unixPath(text: string): string {
  if (!text.startsWith('unix:') || text.length === 'unix:'.length) {
    throw new InvalidArgumentError('It must be unix:PATH.');
  }
  return text.slice('unix:'.length);
}

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, with brackets around an IPv6 address. */
export function tcpAddress(text: string): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) throw new InvalidArgumentError('It must be HOST:PORT.');
  return { host, port };
}
