"""Members: the clusters that serve, as the operator reaches them. Everything here is I/O.

`kubeconfig` and `api` make one connection, `watch` and `cache` know what is in the cluster,
`apply` and `sweep` change it, `lease` says who may, `pods` explains why a pod cannot start,
`secret` keeps receipt keys, `evidence` opens Prometheus. `member` binds them into one cluster and
`registry` into all of them.
"""
