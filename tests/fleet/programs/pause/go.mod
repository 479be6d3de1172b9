module assay.dev/fleet/pause

go 1.26.0
