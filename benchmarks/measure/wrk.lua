-- Arguments after "--": method, bytes of the request body, a file that holds it instead, "refusals" to
-- count answers of status 503 apart. Prints one line of JSON when done.
local workers = {}

function setup(thread)
  table.insert(workers, thread)
end

function init(args)
  wrk.method = args[1]
  if args[3] ~= "" then
    local file = assert(io.open(args[3], "rb"))
    wrk.body = file:read("*a")
    file:close()
  elseif tonumber(args[2]) > 0 then
    wrk.body = '"' .. string.rep("x", tonumber(args[2]) - 2) .. '"'
  end
  if wrk.body then
    wrk.headers["Content-Type"] = "application/json"
  end
  refused = 0
  if args[4] == "refusals" then
    response = function(status)
      if status == 503 then
        refused = refused + 1
      end
    end
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  local refused = 0
  for _, thread in ipairs(workers) do
    refused = refused + thread:get("refused")
  end
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"p999_ms":%f,"max_ms":%f,"bad_statuses":%d,"socket_errors":%d,"timeouts":%d,"refused":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3, e.status, e.connect + e.read + e.write, e.timeout, refused))
end
