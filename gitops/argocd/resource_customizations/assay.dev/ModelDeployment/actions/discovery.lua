-- Which requests of people the operator would carry out now (docs/hands.md); others are shown as disabled.
local status = obj.status or {}
local rollout = status.rollout or {}

local function condition(kind)
  for _, item in ipairs(status.conditions or {}) do
    if item.type == kind and item.status == "True" then
      return item
    end
  end
  return {}
end

local paused_in_spec = obj.spec.paused ~= nil and obj.spec.paused ~= "None"
local frozen = obj.spec.paused == "All" or status.observedGeneration ~= obj.metadata.generation
local trial = rollout.stage == "Trial"
-- A first start has nothing that could go on instead of it.
local under_way = status.stable ~= nil and (trial or rollout.stage == "Starting")
local function is_last_step()
  local settings = rollout.settings
  local steps = settings.type == "BlueGreen" and 2 or #settings.canary.steps
  return rollout.step + 1 >= steps
end
local stalled = condition("Stalled").reason

local possible = {
  pause = under_way and rollout.paused == nil,
  resume = under_way and rollout.paused ~= nil,
  approve = condition("Paused").reason == "WaitingForApproval",
  promote = trial and not paused_in_spec and not is_last_step(),
  ["promote-full"] = trial and not paused_in_spec,
  abort = under_way,
  retry = rollout.stage == "Done"
    and (stalled == "RolledBack" or stalled == "ProgressDeadlineExceeded"),
}
local actions = {}
for name, can in pairs(possible) do
  actions[name] = {disabled = frozen or not can}
end
return actions
