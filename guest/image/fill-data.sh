#!/bin/sh
# Makes a data directory with the server of a guest's root tree, at this machine's speed: the tables that sysbench makes, its
# own or those of a TPC-C script, and the server's own list of the pages that its pool holds when every table and index has been read (ib_buffer_pool).
# Runs in mount, PID and network namespaces of its own (guest/image/confined.ts): the mounts and the server end with it.
# Usage: fill-data.sh mariadb|mysql ROOT DATA CONFIG oltp TABLES ROWS
#        fill-data.sh mariadb|mysql ROOT DATA CONFIG tpcc SCRIPT WAREHOUSES
set -eu
dbms=$1 root=$2 data=$3 config=$4 kind=$5

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
CREATE DATABASE tpcc;
CREATE DATABASE poolshift;
CREATE TABLE poolshift.ledger (number BIGINT NOT NULL PRIMARY KEY, sent_ms DOUBLE NOT NULL) ENGINE=InnoDB;
CREATE USER sbtest@'%' IDENTIFIED BY 'sbtest';
GRANT ALL ON *.* TO sbtest@'%';
SQL
fill() {
  sysbench "$@" --db-driver=mysql --mysql-socket="$socket" --mysql-user=sbtest --mysql-password=sbtest --threads=2 --rand-seed=1
}
case $kind in
  oltp)
    count=$6
    names=$(seq -f sbtest.sbtest%.0f "$count")
    fill oltp_read_write --tables="$count" --table-size="$7" prepare
    # The sum over a column that no index has makes the server read the rows and not just count them.
    read_all() {
      for table in $(seq "$count"); do
        echo "SELECT COUNT(*), SUM(LENGTH(c)) FROM sbtest.sbtest$table FORCE INDEX (PRIMARY);"
        echo "SELECT COUNT(k) FROM sbtest.sbtest$table FORCE INDEX (k_$table);"
      done
    }
    ;;
  tpcc)
    names='tpcc.warehouse tpcc.district tpcc.customer tpcc.history tpcc.orders tpcc.new_order tpcc.order_line tpcc.item tpcc.stock'
    for command in prepare fill; do fill "$6" --mysql-db=tpcc --warehouses="$7" $command; done
    read_all() {
      echo 'SELECT SUM(LENGTH(w_name)) FROM tpcc.warehouse;'
      echo 'SELECT SUM(LENGTH(d_name)) FROM tpcc.district;'
      echo 'SELECT SUM(LENGTH(c_data)) FROM tpcc.customer FORCE INDEX (PRIMARY);'
      echo 'SELECT COUNT(c_last) FROM tpcc.customer FORCE INDEX (by_name);'
      echo 'SELECT SUM(LENGTH(h_data)) FROM tpcc.history;'
      echo 'SELECT COUNT(o_entry_d) FROM tpcc.orders FORCE INDEX (PRIMARY);'
      echo 'SELECT COUNT(o_c_id) FROM tpcc.orders FORCE INDEX (by_customer);'
      echo 'SELECT COUNT(no_o_id) FROM tpcc.new_order;'
      echo 'SELECT SUM(LENGTH(ol_dist_info)) FROM tpcc.order_line;'
      echo 'SELECT SUM(LENGTH(i_data)) FROM tpcc.item;'
      echo 'SELECT SUM(LENGTH(s_data)) FROM tpcc.stock;'
    }
    ;;
  *)
    echo "fill-data.sh: $kind is no kind of tables; valid: oltp, tpcc" >&2
    exit 2
    ;;
esac
for table in $names; do echo "ANALYZE TABLE $table;"; done | query > /dev/null
stop

# A pool with room for everything.
start $(($(du -sm "$data" | cut -f 1) * 5 / 4 + 256))M
read_all | query > /dev/null
echo 'SET GLOBAL innodb_buffer_pool_dump_pct = 100; SET GLOBAL innodb_buffer_pool_dump_now = ON;' | query
tries=0
until echo "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_dump_status'" | query | grep -q 'dump completed'; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ]; then tail -n 20 "$log" >&2; exit 1; fi
  sleep 0.1
done
stop
