#!/bin/sh
# Makes a data directory with the server of a guest's root tree, at this machine's speed: the tables that sysbench makes,
# and the server's own list of the pages that its pool holds when every table and index has been read (ib_buffer_pool).
# Runs in mount, PID and network namespaces of its own (guest/image/confined.ts): the mounts and the server end with it.
# Usage: fill-data.sh mariadb|mysql ROOT DATA CONFIG TABLES ROWS
set -eu
dbms=$1 root=$2 data=$3 config=$4 tables=$5 rows=$6

mount --bind "$data" "$root/var/lib/mysql"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
install -D -m 644 "$config" "$root/run/poolshift.cnf"
chroot "$root" install -d -o mysql -g mysql /run/mysqld /var/lib/mysql
socket=$root/run/mysqld/mysqld.sock
log=$root/run/server.log

case $dbms in
  mariadb)
    server=/usr/sbin/mariadbd
    chroot "$root" mariadb-install-db --defaults-file=/run/poolshift.cnf --user=mysql --skip-test-db \
      --auth-root-authentication-method=normal --force > "$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
    ;;
  mysql)
    server=/usr/sbin/mysqld
    chroot "$root" $server --defaults-file=/run/poolshift.cnf --initialize-insecure > "$log" 2>&1 ||
      { tail -n 20 "$log" >&2; exit 1; }
    ;;
esac

query() { chroot "$root" /usr/bin/"$dbms" --user=root --socket=/run/mysqld/mysqld.sock --batch --skip-column-names; }
# Neither reading nor loading needs durable commits: the data directory counts only after a clean shutdown.
start() {
  chroot "$root" "$server" --defaults-file=/run/poolshift.cnf --skip-networking --innodb-buffer-pool-size="$1" \
    --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF > "$log" 2>&1 &
  server_pid=$!
  tries=0
  until echo 'SELECT 1' | query > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 $server_pid 2> /dev/null; then tail -n 20 "$log" >&2; exit 1; fi
    sleep 0.1
  done
}
stop() {
  echo 'SET GLOBAL innodb_fast_shutdown = 0; SHUTDOWN;' | query
  wait $server_pid || { tail -n 20 "$log" >&2; exit 1; }
}

start 1G
query << SQL
CREATE DATABASE sbtest;
CREATE DATABASE poolshift;
CREATE TABLE poolshift.ledger (number BIGINT NOT NULL PRIMARY KEY, sent_ms DOUBLE NOT NULL) ENGINE=InnoDB;
CREATE USER sbtest@'%' IDENTIFIED BY 'sbtest';
GRANT ALL ON *.* TO sbtest@'%';
SQL
sysbench oltp_read_write --db-driver=mysql --mysql-socket="$socket" --mysql-user=sbtest --mysql-password=sbtest \
  --tables="$tables" --table-size="$rows" --threads=2 --rand-seed=1 prepare
for table in $(seq "$tables"); do echo "ANALYZE TABLE sbtest.sbtest$table;"; done | query > /dev/null
stop

# A pool with room for everything. The sum over `c` makes the server read the rows and not just count them.
start $(($(du -sm "$data" | cut -f 1) * 5 / 4 + 256))M
for table in $(seq "$tables"); do
  echo "SELECT COUNT(*), SUM(LENGTH(c)) FROM sbtest.sbtest$table FORCE INDEX (PRIMARY);"
  echo "SELECT COUNT(k) FROM sbtest.sbtest$table FORCE INDEX (k_$table);"
done | query > /dev/null
echo 'SET GLOBAL innodb_buffer_pool_dump_pct = 100; SET GLOBAL innodb_buffer_pool_dump_now = ON;' | query
tries=0
until echo "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_dump_status'" | query | grep -q 'dump completed'; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ]; then tail -n 20 "$log" >&2; exit 1; fi
  sleep 0.1
done
stop
