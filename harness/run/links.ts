/** What the links really carry: one TCP stream, measured before each run, so that every bound is of this lab. */
import { z } from 'zod';
import type { HostName, NetworkName, Testbed } from '../testbed/host.ts';

/** iperf3's own. */
export const goodputPort = 5201;
const seconds = 2;

const iperfSchema = z.object({
  end: z.object({ sum_received: z.object({ bits_per_second: z.number().positive() }) }),
});

/** Payload in bytes per second from one host to another. @throws CodedError 'host' */
export async function measureGoodput(
  testbed: Pick<Testbed, 'hosts' | 'networks'>,
  network: NetworkName,
  from: HostName,
  to: HostName,
  port = goodputPort,
): Promise<number> {
  const address = testbed.networks[network].addresses[to];
  const server = testbed.hosts[to].spawn(`exec iperf3 --server --one-off --bind ${address} --port ${port}`);
  try {
    await testbed.hosts[to].run(
      `for attempt in $(seq 100); do ss -ltn | grep -q ':${port} ' && exit 0; sleep 0.05; done; exit 1`,
    );
    // The first half second is a burst that the shaper's bucket lets through.
    const { stdout } = await testbed.hosts[from].run(
      `iperf3 --client ${address} --port ${port} --time ${seconds} --omit 1 --json`,
    );
    return iperfSchema.parse(JSON.parse(stdout)).end.sum_received.bits_per_second / 8;
  } finally {
    await server.stop();
  }
}
