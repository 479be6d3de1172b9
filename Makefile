# Everything starts here: `make demo` shows a rollout on three local clusters, `make test` proves the whole.
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := help

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv with everything for development

$(VENV)/.ready: pyproject.toml requirements/dev.txt tests/fleet/pyproject.toml
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "setup: installing the locked dependencies into $(VENV) (about a minute when nothing is cached)"
	@$(PY) -m pip install -q --require-hashes -r requirements/dev.txt
	@$(PY) -m pip install -q --no-deps --no-build-isolation -e . -e tests/fleet
	@touch $@

lock: ## resolve the pinned dependencies again, with hashes
	@for extra in operator server dev; do \
	  $(VENV)/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 \
	    --extra $$extra pyproject.toml $$( [ $$extra = dev ] && echo --extra operator --extra server ) \
	    --unsafe-package assay -o requirements/$$extra.txt || exit 1; done

.PHONY: help setup lock
