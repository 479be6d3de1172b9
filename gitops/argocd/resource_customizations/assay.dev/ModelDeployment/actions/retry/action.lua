-- Asks for it as `kubectl assay retry` does. `by` must be the user as which Argo CD writes to this cluster.
local by = "system:serviceaccount:argocd:argocd-server"
local rollout = obj.status.rollout
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["assay.dev/request"] = '{"id":"argocd-retry-' .. obj.metadata.resourceVersion
  .. '","verb":"retry","rolloutId":"' .. rollout.id .. '","by":"' .. by .. '","reason":"in Argo CD"}'
return obj
