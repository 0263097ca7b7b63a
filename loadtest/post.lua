-- Makes each request of wrk a POST of the file that the first argument after `--` names.
-- wrk formats the request once, after this has run, and sends the same bytes each time: no Lua runs under load.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = "application/octet-stream"
  file:close()
end
