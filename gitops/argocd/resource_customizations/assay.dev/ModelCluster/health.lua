-- Health of a ModelCluster: whether the operator can talk to it.
local status = obj.status or {}
if status.observedGeneration == obj.metadata.generation then
  for _, item in ipairs(status.conditions or {}) do
    if item.type == "Reachable" and item.status == "True" then
      return {status = "Healthy", message = item.message}
    elseif item.type == "Reachable" and item.status == "False" then
      return {status = "Degraded", message = item.message}
    end
  end
end
return {status = "Progressing", message = "The operator has not tried to reach it yet"}
