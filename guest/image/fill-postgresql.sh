#!/bin/sh
# Makes a data directory with the PostgreSQL of a guest's root tree, at this machine's speed: the tables that sysbench makes, and what
# the harness asks the server with. Runs in mount, PID and network namespaces of its own (guest/image/confined.ts): the mounts and
# the server end with it.
# Usage: fill-postgresql.sh ROOT DATA CONFIG oltp TABLES ROWS
set -eu
root=$1 data=$2 config=$3 kind=$4 tables=$5 rows=$6
if [ "$kind" != oltp ]; then
  echo "fill-postgresql.sh: $kind is no kind of tables; valid: oltp" >&2
  exit 2
fi

mount --bind "$data" "$root/var/lib/postgresql"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
install -D -m 644 "$config" "$root/run/poolshift.cnf"
chroot "$root" install -d -m 700 -o postgres -g postgres /run/postgresql /var/lib/postgresql
# Where the socket's path is short enough.
mount --bind "$root/run" /mnt
log=$root/run/server.log

chroot --userspec=postgres:postgres "$root" /usr/bin/initdb --pgdata=/var/lib/postgresql --encoding=UTF8 --no-locale \
  --auth-local=peer --auth-host=trust --no-sync > "$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
# The network that the guest serves is the lab's own.
echo 'host all all 0.0.0.0/0 trust' >> "$data/pg_hba.conf"
echo 'local all all trust' > "$root/run/hba.conf"

query() { chroot "$root" /usr/bin/psql --host=/run/postgresql --username=postgres --quiet --no-psqlrc -v ON_ERROR_STOP=1 "$@"; }
# Loading needs no durable commits: the data directory counts only after a clean shutdown.
chroot --userspec=postgres:postgres "$root" /usr/bin/postgres -D /var/lib/postgresql -c config_file=/run/poolshift.cnf \
  -c hba_file=/run/hba.conf -c listen_addresses= -c shared_buffers=1GB -c fsync=off -c full_page_writes=off >> "$log" 2>&1 &
server_pid=$!
tries=0
until query --command='SELECT 1' > /dev/null 2>&1; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ] || ! kill -0 $server_pid 2> /dev/null; then tail -n 20 "$log" >&2; exit 1; fi
  sleep 0.1
done
query << SQL
CREATE ROLE sbtest SUPERUSER LOGIN;
CREATE DATABASE sbtest OWNER sbtest;
\connect sbtest
CREATE EXTENSION pg_prewarm;
CREATE EXTENSION pg_buffercache;
CREATE EXTENSION amcheck;
CREATE SCHEMA poolshift;
CREATE TABLE poolshift.ledger (number BIGINT PRIMARY KEY, sent_ms DOUBLE PRECISION NOT NULL);
SQL
sysbench oltp_read_write --db-driver=pgsql --pgsql-host=/mnt/postgresql --pgsql-user=sbtest --pgsql-db=sbtest --threads=2 \
  --rand-seed=1 --tables="$tables" --table-size="$rows" prepare
# Rows are marked as seen by everybody, so that reading them changes no page.
query --dbname=sbtest --command='VACUUM (FREEZE, ANALYZE)'
kill -INT $server_pid
wait $server_pid || { tail -n 20 "$log" >&2; exit 1; }
