#!/bin/sh
# PID 1 of the guest: network, database server, ssh and the guest agent, nothing else. Every step is reported on the
# console as "POOLSHIFT <seconds since boot> <what>". Kernel parameters:
#   poolshift.address=10.30.0.10/24  the guest's address on the service network
#   poolshift.pool=BYTES             size of the buffer pool
#   poolshift.options=--a=b,--c=d    more options of the server
#   poolshift.standby=handover       the server starts when another VM's disk is plugged in, with the data directory of that
#   poolshift.standby=replica        the server starts with a copy of the data of the address that comes to port 4567
#   poolshift.backup                 whoever connects to port 4568 gets such a copy, as mbstream(1) reads it
#   poolshift.nfs=HOST:/EXPORT       the data directory is a folder "data" there, filled from the disk if there is none
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
here=/run/poolshift

say() {
  read -r uptime _ < /proc/uptime
  echo "POOLSHIFT $uptime $*" > /dev/console
}

say boot
mkdir -p /dev/pts /dev/shm /run/mysqld
mount -t devpts devpts /dev/pts
mount -t tmpfs -o size=16m tmpfs /dev/shm
mount -t tmpfs -o size=32m tmpfs /tmp
chown mysql:mysql /run/mysqld
if [ -x /usr/bin/postgres ]; then install -d -o postgres -g postgres /run/postgresql; fi
echo guest > /proc/sys/kernel/hostname

# By name, as udev would do it.
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  [ -e "$port/name" ] && ln -s "../${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done

address= pool=134217728 options= nfs= standby= backup=
for word in $(cat /proc/cmdline); do
  case $word in
    poolshift.address=*) address=${word#*=} ;;
    poolshift.pool=*) pool=${word#*=} ;;
    poolshift.nfs=*) nfs=${word#*=} ;;
    poolshift.backup) backup=yes ;;
    poolshift.standby=*) standby=${word#*=} ;;
    poolshift.options=*) options=$(echo "${word#*=}" | tr , ' ') ;;
  esac
done

busybox ip link set lo up
if [ -n "$address" ]; then
  busybox ip addr add "$address" dev eth0
  busybox ip link set eth0 up
fi
say network

if [ -n "$nfs" ]; then
  mkdir -p /tmp/nfs
  # Without the helper of mount(8), which would look up the addresses.
  mount -i -t nfs4 -o "vers=4.2,addr=${nfs%%:*},clientaddr=${address%/*}" "$nfs" /tmp/nfs || {
    # In its tmpfs the server would start, with data that no migration test means.
    say 'failed: no NFS'
    busybox poweroff -f
  }
  if [ ! -e /tmp/nfs/data ]; then
    # What reads them on the host need not be root there.
    cp -a /var/lib/mysql /tmp/nfs/filling && chmod -R o+rX /tmp/nfs/filling && sync && mv /tmp/nfs/filling /tmp/nfs/data
  fi
  options="--datadir=/tmp/nfs/data $options"
  say nfs
fi

# As /proc/net/tcp writes it.
port=0CEA
server=/usr/sbin/mariadbd
if [ -x /usr/bin/postgres ]; then
  server=/usr/bin/postgres
  port=1538
elif [ ! -x $server ]; then
  server=/usr/sbin/mysqld
  # MySQL would round the pool up to a multiple of 128 MiB, which a small guest cannot hold.
  options="--innodb-buffer-pool-chunk-size=$pool $options"
fi
# Debian's MySQL uses tcmalloc, which would keep 40 MB that only the start needs.
export TCMALLOC_AGGRESSIVE_DECOMMIT=t
# shellcheck disable=SC2086 # $options is a list of words
run_server() {
  if [ $server = /usr/bin/postgres ]; then
    setpriv --reuid=postgres --regid=postgres --init-groups $server -D /var/lib/postgresql \
      -c config_file=/etc/poolshift/poolshift.cnf -c shared_buffers="${pool}B" $options
  else
    "$server" --defaults-file=/etc/mysql/poolshift.cnf --innodb-buffer-pool-size="$pool" $options
  fi
}
(
  if [ "$standby" = handover ]; then
    # Its program and libraries are in memory when they are needed.
    "$server" --version > /dev/null && cat "$server" > /dev/null
    say standby
    until [ -b /dev/vdb ]; do sleep 0.02; done
    say disk-plugged-in
    mkdir -p /tmp/disk
    mount -t ext4 -o noatime /dev/vdb /tmp/disk || { say 'failed: the disk cannot be mounted'; busybox poweroff -f; }
    options="--datadir=/tmp/disk/var/lib/mysql $options"
  elif [ "$standby" = replica ]; then
    "$server" --version > /dev/null && cat "$server" > /dev/null
    data=/var/lib/mysql
    rm -rf /var/lib/mysql/*
    say standby
    source=$(busybox nc -l -p 4567 < /dev/null)
    busybox nc "$source" 4568 < /dev/null | mbstream -x -C $data && say copied &&
      mariadb-backup --prepare --target-dir=$data > /tmp/prepare.log 2>&1 && chown -R mysql:mysql $data &&
      chmod o+r $data/xtrabackup_binlog_info || {
      tail -n 5 /tmp/prepare.log > /dev/console
      say 'failed: no copy of the data'
      busybox poweroff -f
    }
    say prepared
  fi
  run_server > /dev/console 2>&1
  status=$?
  say "server-exited $status"
  # A server that was told to stop takes the guest with it, which leaves its disk as any machine that is shut down.
  if [ $status = 0 ]; then
    sync
    if [ "$standby" = handover ]; then umount /tmp/disk || say 'failed: the disk stays mounted'; fi
    mount -o remount,ro / || say 'failed: the disk stays writable'
    busybox poweroff -f
  fi
) &
(
  until grep -q ":$port 00000000:0000 0A" /proc/net/tcp; do sleep 0.1; done
  say server-up

  # After the server, so that starting it has the processor for itself.
  if [ -e $here/host_key ]; then
    dropbearconvert openssh dropbear $here/host_key $here/dropbear_host_key
  else
    dropbearkey -t ed25519 -f $here/dropbear_host_key
  fi > /dev/null 2>&1
  dropbear -s -E -r $here/dropbear_host_key -P /run/dropbear.pid > /dev/console 2>&1
  say ssh-up
) &

if [ -n "$backup" ]; then
  # The list of what the pool holds, too, which mariadb-backup leaves out.
  # What it says would take an emulated console minutes.
  busybox nc -ll -p 4568 -e sh -c 'mariadb-backup --defaults-file=/etc/mysql/poolshift.cnf --backup --stream=mbstream \
    --target-dir=/tmp --user=root --socket=/run/mysqld/mysqld.sock 2> /tmp/backup.log &&
    cd /var/lib/mysql && mbstream -c ib_buffer_pool || tail -n 5 /tmp/backup.log > /dev/console' &
fi

if [ -e $here/agent.js ] && [ -z "$standby" ]; then
  while :; do
    # Ahead of the server for the second that a list takes: the migration waits for it.
    MALLOC_MMAP_THRESHOLD_=131072 nice -n -10 node --max-semi-space-size=1 $here/agent.js > /dev/console 2>&1
    say "agent-exited $?"
    sleep 1
  done &
fi

# Also reaps what the others leave behind. PID 1 must never end.
while :; do
  wait
  sleep 60
done
