-- Health of a ModelDeployment. Stalled, Reconciling and Ready exclude each other, as kstatus wants it;
-- what Argo CD can say beyond kstatus is Suspended, Unknown, and Degraded while a trial has an outage.
local status = obj.status or {}

local function condition(kind)
  for _, item in ipairs(status.conditions or {}) do
    if item.type == kind then
      return item
    end
  end
  return {status = "Absent"}
end

local function verdict(health, item)
  return {status = health, message = item.message or ""}
end

local ready = condition("Ready")
if obj.metadata.deletionTimestamp ~= nil then
  return verdict("Progressing", ready)
end
if ready.status == "Absent" or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not looked at this generation yet"}
end
local stalled, reconciling = condition("Stalled"), condition("Reconciling")
if stalled.status == "True" then
  return verdict("Degraded", stalled)
end
local available = condition("Available")
if available.status == "Unknown" then
  -- Nobody can be asked whether it still serves.
  return verdict("Unknown", available)
end
if (status.rollout or {}).stage == "Trial" and available.status == "False" then
  return verdict("Degraded", available)
end
if reconciling.status == "True" then
  local held = condition("Paused").status == "True"
  return verdict(held and "Suspended" or "Progressing", reconciling)
end
return verdict(ready.status == "True" and "Healthy" or "Progressing", ready)
