-- TPC-C for sysbench, written from the TPC-C standard specification, revision 5.11; clause numbers are its. Schema, population,
-- the five transactions with their mix, and their random numbers are the standard's. What is not: keying and think times and
-- the limit of ten terminals a warehouse are left out (sysbench's --rate paces), each transaction picks its warehouse, a
-- delivery is not queued, and there are no foreign keys.
--   sysbench tpcc.lua --warehouses=W ... prepare   makes the tables and the items
--   sysbench tpcc.lua --warehouses=W --threads=T ... fill   fills the warehouses
--   sysbench tpcc.lua --warehouses=W ... run
local bit = require('bit')

local districts, customers, items, orders, first_new_order = 10, 3000, 100000, 3000, 2101

sysbench.cmdline.options = { warehouses = { 'Number of warehouses', 1 } }

local uniform = sysbench.rand.uniform

-- 2.1.6: the constants of the run differ from those of the population as 2.1.6.1 asks (the last name's by 65 to 119).
local constants = { fill = { [255] = 157, [1023] = 301, [8191] = 4711 }, run = { [255] = 243, [1023] = 301, [8191] = 4711 } }

local function nurand(when, a, x, y)
  return (bit.bor(uniform(0, a), uniform(x, y)) + constants[when][a]) % (y - x + 1) + x
end

-- 4.3.2.3
local syllables = { [0] = 'BAR', 'OUGHT', 'ABLE', 'PRI', 'PRES', 'ESE', 'ANTI', 'CALLY', 'ATION', 'EING' }
local function last_name(number)
  return syllables[math.floor(number / 100)] .. syllables[math.floor(number / 10) % 10] .. syllables[number % 10]
end

local letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
local function text(min, max)
  local bytes = {}
  for index = 1, uniform(min, max) do
    local at = uniform(1, #letters)
    bytes[index] = letters:byte(at)
  end
  return string.char(unpack(bytes))
end
local function digits(count)
  return (('#'):rep(count):gsub('#', function() return tostring(uniform(0, 9)) end))
end
local function zip() return digits(4) .. '11111' end
-- A tenth of them has ORIGINAL somewhere (4.3.3.1).
local function data()
  local value = text(26, 50)
  if uniform(1, 10) > 1 then return value end
  local at = uniform(1, #value - 8)
  return value:sub(1, at) .. 'ORIGINAL' .. value:sub(at + 9)
end
local function address()
  return string.format("'%s','%s','%s','%s','%s'", text(10, 20), text(10, 20), text(10, 20), text(2, 2):upper(), zip())
end

-- 1.3
local address_columns = function(prefix)
  return (('~street_1 VARCHAR(20), ~street_2 VARCHAR(20), ~city VARCHAR(20), ~state CHAR(2), ~zip CHAR(9)'):gsub('~', prefix))
end
local tables = {
  'warehouse (w_id INT, w_name VARCHAR(10), ' .. address_columns('w_') ..
    ', w_tax DECIMAL(4,4), w_ytd DECIMAL(12,2), PRIMARY KEY (w_id))',
  'district (d_w_id INT, d_id TINYINT, d_name VARCHAR(10), ' .. address_columns('d_') ..
    ', d_tax DECIMAL(4,4), d_ytd DECIMAL(12,2), d_next_o_id INT, PRIMARY KEY (d_w_id, d_id))',
  'customer (c_w_id INT, c_d_id TINYINT, c_id INT, c_first VARCHAR(16), c_middle CHAR(2), c_last VARCHAR(16), ' ..
    address_columns('c_') .. ', c_phone CHAR(16), c_since DATETIME, c_credit CHAR(2), c_credit_lim DECIMAL(12,2), ' ..
    'c_discount DECIMAL(4,4), c_balance DECIMAL(12,2), c_ytd_payment DECIMAL(12,2), c_payment_cnt INT, c_delivery_cnt INT, ' ..
    'c_data VARCHAR(500), PRIMARY KEY (c_w_id, c_d_id, c_id), KEY by_name (c_w_id, c_d_id, c_last, c_first))',
  'history (h_c_id INT, h_c_d_id TINYINT, h_c_w_id INT, h_d_id TINYINT, h_w_id INT, h_date DATETIME, ' ..
    'h_amount DECIMAL(6,2), h_data VARCHAR(24))',
  'orders (o_w_id INT, o_d_id TINYINT, o_id INT, o_c_id INT, o_entry_d DATETIME, o_carrier_id TINYINT, o_ol_cnt TINYINT, ' ..
    'o_all_local TINYINT, PRIMARY KEY (o_w_id, o_d_id, o_id), KEY by_customer (o_w_id, o_d_id, o_c_id, o_id))',
  'new_order (no_w_id INT, no_d_id TINYINT, no_o_id INT, PRIMARY KEY (no_w_id, no_d_id, no_o_id))',
  'order_line (ol_w_id INT, ol_d_id TINYINT, ol_o_id INT, ol_number TINYINT, ol_i_id INT, ol_supply_w_id INT, ' ..
    'ol_delivery_d DATETIME, ol_quantity TINYINT, ol_amount DECIMAL(6,2), ol_dist_info CHAR(24), ' ..
    'PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number))',
  'item (i_id INT, i_im_id INT, i_name VARCHAR(24), i_price DECIMAL(5,2), i_data VARCHAR(50), PRIMARY KEY (i_id))',
  'stock (s_w_id INT, s_i_id INT, s_quantity SMALLINT, s_dist_01 CHAR(24), s_dist_02 CHAR(24), s_dist_03 CHAR(24), ' ..
    's_dist_04 CHAR(24), s_dist_05 CHAR(24), s_dist_06 CHAR(24), s_dist_07 CHAR(24), s_dist_08 CHAR(24), s_dist_09 CHAR(24), ' ..
    's_dist_10 CHAR(24), s_ytd INT, s_order_cnt INT, s_remote_cnt INT, s_data VARCHAR(50), PRIMARY KEY (s_w_id, s_i_id))',
}

local function query(...)
  return con:query(string.format(...))
end

-- Rows of one table, as many in a statement as the server takes.
local function insert(into, count, row)
  con:bulk_insert_init('INSERT INTO ' .. into .. ' VALUES')
  for index = 1, count do con:bulk_insert_next('(' .. row(index) .. ')') end
  con:bulk_insert_done()
end

local function connect()
  drv = sysbench.sql.driver()
  con = drv:connect()
end

local function prepare()
  connect()
  for _, definition in ipairs(tables) do query('CREATE TABLE %s ENGINE=InnoDB', definition) end
  insert('item', items, function(id)
    return string.format("%d,%d,'%s',%d.%02d,'%s'", id, uniform(1, 10000), text(14, 24), uniform(1, 99), uniform(0, 99), data())
  end)
end

local function fill_district(w, d)
  query("INSERT INTO district VALUES (%d,%d,'%s',%s,0.%04d,30000,%d)", w, d, text(6, 10), address(), uniform(0, 2000), orders + 1)
  insert('customer', customers, function(c)
    local name = last_name(c <= 1000 and c - 1 or nurand('fill', 255, 0, 999))
    return string.format("%d,%d,%d,'%s','OE','%s',%s,'%s',NOW(),'%s',50000,0.%04d,-10,10,1,0,'%s'", w, d, c, text(8, 16), name,
      address(), digits(16), uniform(1, 10) == 1 and 'BC' or 'GC', uniform(0, 5000), text(300, 500))
  end)
  insert('history', customers, function(c)
    return string.format("%d,%d,%d,%d,%d,NOW(),10,'%s'", c, d, w, d, w, text(12, 24))
  end)
  -- Every customer has one order.
  local customer_of = {}
  for c = 1, customers do customer_of[c] = c end
  for last = customers, 2, -1 do
    local other = uniform(1, last)
    customer_of[last], customer_of[other] = customer_of[other], customer_of[last]
  end
  local lines = {}
  insert('orders', orders, function(o)
    local count = uniform(5, 15)
    for number = 1, count do lines[#lines + 1] = { o, number } end
    return string.format('%d,%d,%d,%d,NOW(),%s,%d,1', w, d, o, customer_of[o],
      o < first_new_order and uniform(1, 10) or 'NULL', count)
  end)
  insert('order_line', #lines, function(index)
    local o, number = lines[index][1], lines[index][2]
    local delivered = o < first_new_order
    return string.format("%d,%d,%d,%d,%d,%d,%s,5,%s,'%s'", w, d, o, number, uniform(1, items), w,
      delivered and 'NOW()' or 'NULL', delivered and '0' or string.format('%.2f', uniform(1, 999999) / 100), text(24, 24))
  end)
  insert('new_order', orders - first_new_order + 1, function(index)
    return string.format('%d,%d,%d', w, d, first_new_order + index - 1)
  end)
end

-- 4.3.3.1
local function fill_warehouse(w)
  query("INSERT INTO warehouse VALUES (%d,'%s',%s,0.%04d,300000)", w, text(6, 10), address(), uniform(0, 2000))
  insert('stock', items, function(i)
    local infos = {}
    for d = 1, districts do infos[d] = "'" .. text(24, 24) .. "'" end
    return string.format("%d,%d,%d,%s,0,0,0,'%s'", w, i, uniform(10, 100), table.concat(infos, ','), data())
  end)
  for d = 1, districts do fill_district(w, d) end
end

local function fill()
  connect()
  for w = sysbench.tid % sysbench.opt.threads + 1, sysbench.opt.warehouses, sysbench.opt.threads do fill_warehouse(w) end
end

sysbench.cmdline.commands = {
  prepare = { prepare },
  fill = { fill, sysbench.cmdline.PARALLEL_COMMAND },
}

function thread_init() connect() end
function thread_done() con:disconnect() end

local function any_warehouse() return uniform(1, sysbench.opt.warehouses) end
local function any_district() return uniform(1, districts) end
local function other_warehouse(w)
  local other = uniform(1, sysbench.opt.warehouses - 1)
  return other < w and other or other + 1
end
local function any_name() return last_name(nurand('run', 255, 0, 999)) end
local function any_customer() return nurand('run', 1023, 1, customers) end

local function row(...)
  return con:query_row(string.format(...))
end

-- The middle one, by first name, of those who have the name (2.5.2.2).
local function customer_by_name(w, d, name)
  local found = query("SELECT c_id FROM customer WHERE c_w_id=%d AND c_d_id=%d AND c_last='%s' ORDER BY c_first", w, d, name)
  local ids = {}
  for index = 1, found.nrows do ids[index] = tonumber(unpack(found:fetch_row(), 1, 1)) end
  return ids[math.ceil(#ids / 2)]
end

local function some_customer(w, d)
  if uniform(1, 100) > 60 then return any_customer() end
  return customer_by_name(w, d, any_name())
end

-- 2.4
local function new_order()
  local w, d, c = any_warehouse(), any_district(), any_customer()
  local lines, all_local = {}, 1
  for number = 1, uniform(5, 15) do
    local supply = w
    if sysbench.opt.warehouses > 1 and uniform(1, 100) == 1 then supply, all_local = other_warehouse(w), 0 end
    lines[number] = { item = nurand('run', 8191, 1, items), supply = supply, quantity = uniform(1, 10) }
  end
  -- One in a hundred names an item that there is not, and is rolled back.
  if uniform(1, 100) == 1 then lines[#lines].item = items + 1 end
  -- In one order for all, so that they wait for each other instead of locking each other out.
  table.sort(lines, function(a, b) return a.item < b.item or (a.item == b.item and a.supply < b.supply) end)

  query('BEGIN')
  row('SELECT c_discount, c_last, c_credit, w_tax FROM customer, warehouse WHERE w_id=%d AND c_w_id=%d AND c_d_id=%d AND c_id=%d',
    w, w, d, c)
  local _, next_id = row('SELECT d_tax, d_next_o_id FROM district WHERE d_w_id=%d AND d_id=%d FOR UPDATE', w, d)
  local o = tonumber(next_id)
  query('UPDATE district SET d_next_o_id=%d WHERE d_w_id=%d AND d_id=%d', o + 1, w, d)
  query('INSERT INTO orders VALUES (%d,%d,%d,%d,NOW(),NULL,%d,%d)', w, d, o, c, #lines, all_local)
  query('INSERT INTO new_order VALUES (%d,%d,%d)', w, d, o)
  for number, line in ipairs(lines) do
    local price = row('SELECT i_price, i_name, i_data FROM item WHERE i_id=%d', line.item)
    if price == nil then
      query('ROLLBACK')
      return
    end
    local in_stock, info = row('SELECT s_quantity, s_dist_%02d, s_data FROM stock WHERE s_w_id=%d AND s_i_id=%d FOR UPDATE', d,
      line.supply, line.item)
    local left = tonumber(in_stock) - line.quantity
    if left < 10 then left = left + 91 end
    query('UPDATE stock SET s_quantity=%d, s_ytd=s_ytd+%d, s_order_cnt=s_order_cnt+1, s_remote_cnt=s_remote_cnt+%d ' ..
      'WHERE s_w_id=%d AND s_i_id=%d', left, line.quantity, line.supply == w and 0 or 1, line.supply, line.item)
    query("INSERT INTO order_line VALUES (%d,%d,%d,%d,%d,%d,NULL,%d,%.2f,'%s')", w, d, o, number, line.item, line.supply,
      line.quantity, line.quantity * tonumber(price), info)
  end
  query('COMMIT')
end

-- 2.5
local function payment()
  local w, d, amount = any_warehouse(), any_district(), uniform(100, 500000) / 100
  local c_w, c_d = w, d
  if sysbench.opt.warehouses > 1 and uniform(1, 100) > 85 then c_w, c_d = other_warehouse(w), any_district() end
  query('BEGIN')
  query('UPDATE warehouse SET w_ytd=w_ytd+%.2f WHERE w_id=%d', amount, w)
  local w_name = row('SELECT w_name, w_street_1, w_street_2, w_city, w_state, w_zip FROM warehouse WHERE w_id=%d', w)
  query('UPDATE district SET d_ytd=d_ytd+%.2f WHERE d_w_id=%d AND d_id=%d', amount, w, d)
  local d_name =
    row('SELECT d_name, d_street_1, d_street_2, d_city, d_state, d_zip FROM district WHERE d_w_id=%d AND d_id=%d', w, d)
  local c = some_customer(c_w, c_d)
  local who = string.format('c_w_id=%d AND c_d_id=%d AND c_id=%d', c_w, c_d, c)
  local credit = row('SELECT c_credit, c_first, c_middle, c_last, c_street_1, c_street_2, c_city, c_state, c_zip, c_phone, ' ..
    'c_since, c_credit_lim, c_discount, c_balance FROM customer WHERE %s FOR UPDATE', who)
  local noted = ''
  if credit == 'BC' then
    noted = string.format(", c_data=LEFT(CONCAT('%d %d %d %d %d %.2f ', c_data), 500)", c, c_d, c_w, d, w, amount)
  end
  query('UPDATE customer SET c_balance=c_balance-%.2f, c_ytd_payment=c_ytd_payment+%.2f, c_payment_cnt=c_payment_cnt+1%s WHERE %s',
    amount, amount, noted, who)
  query("INSERT INTO history VALUES (%d,%d,%d,%d,%d,NOW(),%.2f,'%s    %s')", c, c_d, c_w, d, w, amount, w_name, d_name)
  query('COMMIT')
end

-- 2.6
local function order_status()
  local w, d = any_warehouse(), any_district()
  query('BEGIN')
  local c = some_customer(w, d)
  row('SELECT c_balance, c_first, c_middle, c_last FROM customer WHERE c_w_id=%d AND c_d_id=%d AND c_id=%d', w, d, c)
  local o = row('SELECT o_id, o_entry_d, o_carrier_id FROM orders WHERE o_w_id=%d AND o_d_id=%d AND o_c_id=%d ' ..
    'ORDER BY o_id DESC LIMIT 1', w, d, c)
  query('SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line ' ..
    'WHERE ol_w_id=%d AND ol_d_id=%d AND ol_o_id=%d', w, d, tonumber(o))
  query('COMMIT')
end

-- 2.7
local function delivery()
  local w, carrier = any_warehouse(), uniform(1, 10)
  query('BEGIN')
  for d = 1, districts do
    local oldest = row('SELECT no_o_id FROM new_order WHERE no_w_id=%d AND no_d_id=%d ORDER BY no_o_id LIMIT 1 FOR UPDATE', w, d)
    if oldest ~= nil then
      local o = tonumber(oldest)
      query('DELETE FROM new_order WHERE no_w_id=%d AND no_d_id=%d AND no_o_id=%d', w, d, o)
      local c = row('SELECT o_c_id FROM orders WHERE o_w_id=%d AND o_d_id=%d AND o_id=%d', w, d, o)
      query('UPDATE orders SET o_carrier_id=%d WHERE o_w_id=%d AND o_d_id=%d AND o_id=%d', carrier, w, d, o)
      query('UPDATE order_line SET ol_delivery_d=NOW() WHERE ol_w_id=%d AND ol_d_id=%d AND ol_o_id=%d', w, d, o)
      local amount = row('SELECT SUM(ol_amount) FROM order_line WHERE ol_w_id=%d AND ol_d_id=%d AND ol_o_id=%d', w, d, o)
      query('UPDATE customer SET c_balance=c_balance+%s, c_delivery_cnt=c_delivery_cnt+1 ' ..
        'WHERE c_w_id=%d AND c_d_id=%d AND c_id=%d', amount, w, d, tonumber(c))
    end
  end
  query('COMMIT')
end

-- 2.8
local function stock_level()
  local w, d = any_warehouse(), any_district()
  query('BEGIN')
  local next_id = tonumber((row('SELECT d_next_o_id FROM district WHERE d_w_id=%d AND d_id=%d', w, d)))
  row('SELECT COUNT(DISTINCT s_i_id) FROM order_line, stock WHERE ol_w_id=%d AND ol_d_id=%d AND ol_o_id>=%d AND ol_o_id<%d ' ..
    'AND s_w_id=%d AND s_i_id=ol_i_id AND s_quantity<%d', w, d, next_id - 20, next_id, w, uniform(10, 20))
  query('COMMIT')
end

-- 5.2.3: at least 43 % payments and 4 % of each of the last three.
function event()
  local drawn = uniform(1, 100)
  if drawn <= 45 then new_order()
  elseif drawn <= 88 then payment()
  elseif drawn <= 92 then order_status()
  elseif drawn <= 96 then delivery()
  else stock_level() end
end
