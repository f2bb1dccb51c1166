-- What sysbench 1.0 says of a load, as JSON lines that harness/workload/sysbench.ts reads; and connections that are lost are
-- made again. Comes after the script of the load, whose thread_init() makes a thread's connection and statements.
local ffi = require('ffi')

-- In one write, as every thread may speak.
local function say(...)
  io.write(string.format(...) .. '\n')
  io.flush()
end

-- sysbench's own latencies: with --rate they count from the time at which a transaction was due, its wait in the queue
-- included (src/sb_timer.h, sb_histogram.h of 1.0.20).
ffi.cdef [[
typedef struct {
  uint64_t *cumulative_array;
  uint64_t cumulative_nevents;
  uint64_t *temp_array;
  uint64_t **interm_slots;
  size_t array_size;
  double range_min;
  double range_max;
  double range_deduct;
  double range_mult;
} poolshift_histogram;
extern poolshift_histogram sb_latency_histogram;
int usleep(unsigned int);
]]

-- A sysbench that keeps them in another way reports seconds without latencies.
local function is_known(histogram)
  local size = tonumber(histogram.array_size)
  return size > 1 and size < 65536 and math.abs(histogram.range_deduct - math.log(histogram.range_min)) < 1e-9 and
    math.abs(histogram.range_mult - (size - 1) / (math.log(histogram.range_max) - histogram.range_deduct)) < 1e-6
end

-- By bucket, what the seconds before have counted.
local counted = {}

-- Latencies in ms of the transactions that ended since the last call: "[12.52,3]" is three of 12.52 ms.
local function new_latencies()
  local histogram = ffi.C.sb_latency_histogram
  if not is_known(histogram) then return {} end
  local latencies = {}
  for bucket = 0, tonumber(histogram.array_size) - 1 do
    local count = tonumber(histogram.cumulative_array[bucket])
    local new = count - (counted[bucket] or 0)
    counted[bucket] = count
    if new > 0 then
      local ms = math.exp(bucket / histogram.range_mult + histogram.range_deduct)
      latencies[#latencies + 1] = string.format('[%.6g,%d]', ms, new)
    end
  end
  return latencies
end

-- sysbench has brought its histogram up to date for the one percentile that it would print.
function sysbench.hooks.report_intermediate(stat)
  say(
    '{"sysbench":"second","seconds":%.6f,"threads":%d,"transactions":%d,"reads":%d,"writes":%d,"others":%d,"errors":%d,' ..
      '"queued":%d,"in_service":%d,"latencies":[%s]}',
    stat.time_interval, stat.threads_running, stat.events, stat.reads, stat.writes, stat.other, stat.errors,
    stat.queue_length, stat.concurrency, table.concat(new_latencies(), ',')
  )
end

-- The connection is gone: CR_SERVER_GONE_ERROR, CR_TCP_CONNECTION, CR_SERVER_LOST, CR_SERVER_LOST_EXTENDED; the server has
-- ended it: ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED of MariaDB, ER_CLIENT_INTERACTION_TIMEOUT of MySQL.
local lost = { [2006] = true, [2011] = true, [2013] = true, [2055] = true, [1053] = true, [1927] = true, [4031] = true }

local try_again_microseconds = 500 * 1000

local function tell(state, errno)
  say('{"sysbench":"connection","state":"%s","thread":%d,"errno":%d}', state, sysbench.tid, errno)
end

sysbench.cmdline.options.reconnect = { 'Make lost connections again; otherwise they end sysbench', true }

-- With these in --mysql-ignore-errors sysbench connects again itself, and crashes when the statements of the old connection
-- are closed.
function sysbench.hooks.sql_error_ignorable(failure)
  return sysbench.opt.reconnect and lost[failure.sql_errno] == true
end

function sysbench.hooks.before_restart_event(failure)
  if not lost[failure.sql_errno] then
    -- A wait for a lock that took too long has undone its statement only, and the next BEGIN would commit what was before it.
    con:query('ROLLBACK')
    return
  end
  tell('lost', failure.sql_errno)
  -- Statements first, which need their connection for it.
  if close_statements ~= nil then pcall(close_statements) end
  pcall(con.disconnect, con)
  while not pcall(thread_init) do ffi.C.usleep(try_again_microseconds) end
  tell('connected', 0)
end
