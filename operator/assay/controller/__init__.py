"""The controller: a thin shell in which one reconcile reads like a page. Everything here is I/O."""
