"""Members: the clusters that serve, as the operator reaches them. Everything here is I/O.

`kubeconfig` and `api` make one connection, `watch` and `cache` know what is in the cluster,
`apply` changes it, `lease` says who may, `pods` explains why a pod cannot start, `receipts` keeps
the keys, `evidence` opens Prometheus. `session` binds them while a member is connected, `member`
keeps it connected, `registry` holds all members.
"""
