-- Asks for it as `kubectl assay abort` does. `by` must be the user as which Argo CD writes to this cluster.
local by = "system:serviceaccount:argocd:argocd-server"
local rollout = obj.status.rollout
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["assay.dev/request"] = '{"id":"argocd-abort-' .. obj.metadata.resourceVersion
  .. '","verb":"abort","rolloutId":"' .. rollout.id .. '","by":"' .. by .. '","reason":"in Argo CD"}'
return obj
