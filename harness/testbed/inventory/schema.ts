/** hosts.yaml: machines that somebody has, for `--testbed inventory` (docs/real-hosts.md). Pure. */
import { BlockList, isIPv4 } from 'node:net';
import { z } from 'zod';
import { hostNames, networkNames } from '../host.ts';

/** Every object of an inventory: a key that is not known is a mistake, and its neighbours help to find it. */
function keys<const Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `unknown ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}; valid here: ${Object.keys(shape).join(', ')}`
        : 'a mapping is needed',
  });
}

const text = (pattern: RegExp, need: string) => z.string(need).regex(pattern, need);

const ipv4 = z.string('an IPv4 address is needed').refine(isIPv4, 'an IPv4 address is needed');
const absolutePath = text(
  /^\/[^\s"'%]*$/,
  'an absolute path on the host without blanks, quotes or "%" is needed',
);
/** A file of this machine; relative paths start at the inventory's folder. */
const localFile = text(/^[^\n"]+$/, 'the path of a file on this machine is needed');
/** Linux allows almost anything; these are the characters that interfaces really have. */
const interfaceName = text(/^[A-Za-z0-9_.:@-]{1,15}$/, 'an interface name as in /sys/class/net is needed');

/** Its group is type and key, "sk-ssh-ed25519@openssh.com AAAA…". Host names before them may look like a type. */
const hostKeyLine = /^(?:[^\s#]+ )?((?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+)(?: [^\n]*)?$/;

const ssh = keys({
  address: text(/^[A-Za-z0-9][A-Za-z0-9._:-]*$/, 'an address or host name is needed'),
  port: z.int('a port from 1 to 65535 is needed').min(1).max(65_535).default(22),
  /** root, or a user who may run everything by sudo without a password. */
  user: text(/^[A-Za-z_][A-Za-z0-9_.-]*$/, 'a user name is needed').default('root'),
  identityFile: localFile.optional(),
  identityAgent: localFile.optional(),
  hostKey: text(
    hostKeyLine,
    'a line as in known_hosts, or as in /etc/ssh/ssh_host_ed25519_key.pub, is needed',
  )
    .transform((line) => hostKeyLine.exec(line)?.[1] ?? '')
    .optional(),
  knownHostsFile: localFile.optional(),
  proxyCommand: text(/^[^\n]+$/, "a command as for ssh's ProxyCommand is needed").optional(),
})
  .refine(
    ({ identityFile, identityAgent }) => identityFile !== undefined || identityAgent !== undefined,
    'identityFile or identityAgent is needed: nothing of your own ssh configuration is used',
  )
  .refine(
    ({ hostKey, knownHostsFile }) => (hostKey === undefined) !== (knownHostsFile === undefined),
    'one of hostKey and knownHostsFile is needed: host keys are always checked',
  );

const station = keys({ address: ipv4, interface: interfaceName });
const networks = keys({ migration: station, storage: station, service: station });
const host = { ssh, networks };
const vmHost = keys({ ...host, qemu: absolutePath.default('/usr/bin/qemu-system-x86_64') });

export const inventorySchema = keys({
  hosts: keys({ src: vmHost, dst: vmHost, nfs: keys(host), client: keys(host) }),
  nfs: keys({
    /** Folder on the nfs host. */
    export: absolutePath,
    /** Where src and dst have it mounted; without it, QEMU's own NFS client reads the export. */
    mount: absolutePath.optional(),
  }),
  guestAddress: text(
    /^(?:\d{1,3}\.){3}\d{1,3}\/(?:[89]|[12]\d|30)$/,
    'an address of the service network with its prefix length, such as 10.30.0.10/24, is needed',
  ).refine((value) => isIPv4(value.split('/')[0] ?? ''), 'an IPv4 address is needed'),
  shape: z.boolean('true or false is needed').default(false),
}).superRefine(({ hosts, guestAddress }, context) => {
  const refuse = (path: readonly string[], message: string): void => {
    context.addIssue({ code: 'custom', path: [...path], message });
  };
  // One host may have one address for several networks.
  const holders = new Map<string, string>();
  for (const host of hostNames)
    for (const network of networkNames) {
      const { address } = hosts[host].networks[network];
      const holder = holders.get(address) ?? host;
      if (holder !== host)
        refuse(['hosts', host, 'networks', network, 'address'], `${address} is ${holder}'s, too`);
      holders.set(address, holder);
    }
  const [guest = '', prefixLength = ''] = guestAddress.split('/');
  const holder = holders.get(guest);
  if (holder !== undefined)
    refuse(['guestAddress'], `${guest} is ${holder}'s: a free address of the service network is needed`);
  // The guest has no gateway.
  const network = new BlockList();
  network.addSubnet(guest, Number(prefixLength));
  const client = hosts.client.networks.service.address;
  if (!network.check(client))
    refuse(['guestAddress'], `the client's address ${client} is not in the network ${guestAddress}`);
});

export type Inventory = z.infer<typeof inventorySchema>;
export type InventorySsh = z.infer<typeof ssh>;
