-- The Lua side of lua_interpreter.py, which loads it once and passes three functions.
local wait_until_read, interrupted, disarm = ...
local stdout, stderr, sethook = io.stdout, io.stderr, debug.sethook
local load, xpcall, error, type, tostring = load, xpcall, error, type, tostring
local EXIT, INTERRUPT, code = {}, {}, 0

-- Order: the stream written last is flushed and read empty before the other one is written.
local last = stdout
local methods = getmetatable(stdout).__index
local raw_write = methods.write
function methods.write(file, ...)
  if file ~= last and (file == stdout or file == stderr) then
    last:flush()
    wait_until_read(last == stdout and 1 or 2)
    last = file
  end
  return raw_write(file, ...)
end
function io.write(...) return io.output():write(...) end
function print(...)
  local texts = table.pack(...)
  for i = 1, texts.n do texts[i] = tostring(texts[i]) end
  stdout:write(table.concat(texts, "\t"), "\n")
end
stdout:setvbuf("line")

function os.exit(status)
  if status == nil or status == true then code = 0
  elseif status == false then code = 1
  else code = math.tointeger(status) or 1 end
  error(EXIT, 0)
end

-- A hook slows Lua down to half its speed, so the main thread has one only from an interrupt on
-- (see LuaInterpreter.watch). A coroutine has a hook of its own, which looks now and then.
local function stop() disarm() error(INTERRUPT, 0) end
local function look() if interrupted() then error(INTERRUPT, 0) end end
for _, name in ipairs { "create", "wrap" } do
  local make = coroutine[name]
  coroutine[name] = function(f)
    if type(f) ~= "function" then return make(f) end
    return make(function(...) sethook(look, "", 10000) return f(...) end)
  end
end

local function explain(problem)
  if problem == EXIT or problem == INTERRUPT then return problem end
  local text = debug.traceback("lua: " .. tostring(problem), 2)
  -- Below the last xpcall is this driver.
  return (text:gsub("^(.*)\n\t%[C%]: in function 'xpcall'.-$", "%1"))
end

local driver = { count = 1000000000 }
function driver.arm(always) sethook(always and look or stop, "", always and 10000 or driver.count) end
function driver.run(source, show)
  -- As Lua's own prompt does: what can be an expression is one, and its values are printed.
  local chunk, problem = load(show and "return " .. source or source, "=input")
  if not chunk and show then chunk, problem = load(source, "=input") end
  local ok
  if chunk then
    local values = table.pack(xpcall(chunk, explain))
    ok, problem = values[1], values[2]
    if ok and show and values.n > 1 then
      ok, problem = xpcall(print, explain, table.unpack(values, 2, values.n))
    end
  else problem = "lua: " .. problem end
  disarm()
  if ok then code = 0
  elseif problem == INTERRUPT then code = 130 stderr:write("lua: interrupted!\n")
  elseif problem ~= EXIT then code = 1 stderr:write(tostring(problem), "\n") end
  stdout:flush()
  return code & 255
end
function driver.complete(text)
  local path, start = text:match("([%w_.]-)([%w_]*)$")
  local found = _G
  for name in path:gmatch("[^.]+") do found = type(found) == "table" and rawget(found, name) end
  local names = {}
  if type(found) == "table" then
    for name in pairs(found) do
      if type(name) == "string" and name:sub(1, #start) == start then
        names[#names + 1] = path .. name
      end
    end
  end
  return table.concat(names, "\n")
end
return driver
