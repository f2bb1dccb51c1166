/** The lab's NFS server: nfs-ganesha in user space, since not every kernel has an NFS server. */
import type { Host } from '../host.ts';

/** NFSv3 is what QEMU's own client speaks; it asks rpcbind for the port. */
function ganeshaConfig(exportPath: string): string {
  return `NFS_CORE_PARAM {
  # A container has no CAP_SYS_RESOURCE.
  allow_set_io_flusher_fail = true;
  Protocols = 3, 4;
  NFS_Port = 2049;
  MNT_Port = 20048;
  # VM hosts come over the storage network, a guest that mounts the export over the service network.
  Bind_addr = 0.0.0.0;
  Enable_NLM = false;
  Enable_RQUOTA = false;
  Enable_UDP = false;
}
NFSV4 {
  Graceless = true;
  RecoveryBackend = fs;
  Only_Numeric_Owners = true;
}
EXPORT {
  Export_Id = 1;
  Path = ${exportPath};
  Pseudo = /export;
  Access_Type = RW;
  Squash = No_Root_Squash;
  SecType = sys;
  Protocols = 3, 4;
  Transports = TCP;
  PrefRead = 1048576;
  PrefWrite = 1048576;
  MaxRead = 1048576;
  MaxWrite = 1048576;
  FSAL { Name = VFS; }
}
LOG { Default_Log_Level = INFO; }
`;
}

/** Starts the server and waits until it answers. @throws CodedError 'host' */
export async function startGanesha(nfs: Host, exportPath: string): Promise<void> {
  await nfs.run('cat > /etc/ganesha/ganesha.conf', { input: ganeshaConfig(exportPath) });
  await nfs.run(`set -e
systemctl start rpcbind nfs-ganesha
for attempt in $(seq 200); do
  # Registered with rpcbind (QEMU's client asks there) and listening.
  if rpcinfo -p | grep -q ' 100005  *3 ' && ss -ltn | grep -q ':2049 '; then exit 0; fi
  sleep 0.1
done
journalctl --unit=nfs-ganesha --lines=20 --no-pager --output=cat
tail -n 20 /var/log/ganesha/ganesha.log
exit 1`);
}
