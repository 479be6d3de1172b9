# Everything starts here: `make demo` shows a rollout on three local clusters, `make test` proves the whole.
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
COMPILE := $(UV) pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11
.DEFAULT_GOAL := help

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv with everything for development

# pip finds pins of extras (pydantic[email]) not pinned, uv does not; and it takes seconds where pip takes a minute.
$(VENV)/.ready: pyproject.toml requirements/dev.txt requirements/setup.txt tests/fleet/pyproject.toml
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "setup: installing the locked dependencies into $(VENV) (half a minute when nothing is cached)"
	@$(PY) -m pip install -q --require-hashes -r requirements/setup.txt
	@$(UV) pip install -q --python $(PY) --require-hashes -r requirements/dev.txt
	@$(UV) pip install -q --python $(PY) --no-deps --no-build-isolation -e . -e tests/fleet
	@touch $@

lock: ## resolve the pinned dependencies again, with hashes
	@$(COMPILE) --group setup -o requirements/setup.txt
	@for extra in operator server dev; do \
	  $(COMPILE) --extra $$extra pyproject.toml $$( [ $$extra = dev ] && echo --extra operator --extra server --extra workbench ) \
	    --unsafe-package assay -o requirements/$$extra.txt || exit 1; done
	@$(COMPILE) --extra workbench --extra server pyproject.toml -c requirements/server.txt --unsafe-package assay -o requirements/workbench.txt
	@$(COMPILE) --extra docs --constraint requirements/dev.txt --unsafe-package assay pyproject.toml -o requirements/docs.txt

generate: setup ## write crds/, the chart's copy and the generated docs from the types
	@$(PY) tools/generate.py && $(PY) tools/kubectl_page.py

sbom: setup ## bills of material (CycloneDX) of both images and the list of licences, from the locks
	@$(PY) tools/sbom.py

reproducible: setup ## build both images twice, each time from nothing, and compare (Linux, root); writes docs/supply-chain.md
	@exec $(PY) -m fleet.reproducible

docs: setup ## spelling, then the site with every link checked, into build/site
	@$(UV) pip install -q --python $(PY) --require-hashes -r requirements/docs.txt
	@$(VENV)/bin/typos
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

lint: setup ## format, lint, types, layers, generated files
	@$(VENV)/bin/ruff format --check -q . && $(VENV)/bin/ruff check -q .
	@$(VENV)/bin/mypy && $(VENV)/bin/mypy tests/e2e tests/guide tests/world tests/flux tests/cluster tests/fuzz tests/exploration tests/conftest.py tools
	@$(VENV)/bin/lint-imports
	@$(PY) tools/generate.py --check && $(PY) tools/kubectl_page.py --check && $(PY) tools/sbom.py --check

unit: setup ## the tests that need no cluster, on all cores
	@$(PY) -m pytest -q -n auto --dist loadfile --durations=10 tests/unit

simulate: setup ## error rates of the decision over all cells and experiments (under an hour; goes on where it stopped)
	@$(PY) -m tests.simulation

explore: setup ## every state that the rollout can be in, within bounds (some minutes); writes docs/exploration.md
	@$(PY) -m tests.exploration

decisions: setup ## the quick part of the simulation and of the exploration, and the goals on the last full results
	@$(PY) -m pytest -q --durations=5 tests/simulation tests/exploration

# Fleets are made here and not by pytest, so that a cold build shows how far it is. Tests wait for pods most of
# the time, so two halves run beside each other, each on a fleet of its own.
HALF := tests/cluster tests/e2e/test_[a-h]*.py
OTHER_HALF := tests/e2e/test_[i-z]*.py

clusters: setup ## the tests on real clusters (Linux, root; ASSAY_FLEET=name uses a fleet that is up)
	@if [ -n "$$ASSAY_FLEET" ]; then exec $(PY) -m pytest --durations=25 tests/cluster tests/e2e; fi; \
	log=$$(mktemp); other=; \
	trap '[ -z "$$other" ] || kill $$other 2> /dev/null; wait; $(VENV)/bin/fleet down --name test; $(VENV)/bin/fleet down --name test-2; rm -f $$log' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	$(VENV)/bin/fleet up --name test --clusters hub,east,west && $(VENV)/bin/fleet up --name test-2 --clusters hub,east,west || exit 1; \
	ASSAY_FLEET=test-2 env --default-signal=INT,QUIT $(PY) -m pytest --durations=15 $(OTHER_HALF) > $$log 2>&1 & other=$$!; \
	echo "clusters: $(OTHER_HALF) run beside the rest, on fleet test-2; what they print follows at the end"; \
	ASSAY_FLEET=test $(PY) -m pytest --durations=15 $(HALF); half=$$?; \
	kill -0 $$other 2> /dev/null && echo "clusters: waiting for the other half"; \
	wait $$other; rest=$$?; other=; cat $$log; \
	exit $$(( half + rest > 0 ))

world: setup ## one story on a hub and three members: waves, residency, a member and the hub lost (Linux, root; ten minutes)
	@if [ -n "$$ASSAY_FLEET" ]; then exec $(PY) -m pytest -x -s --durations=9 tests/world; fi; \
	trap '$(VENV)/bin/fleet down --name world' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	$(VENV)/bin/fleet up --name world --clusters hub,aws-eu,gcp-eu,gcp-us && \
	ASSAY_FLEET=world $(PY) -m pytest -x -s --durations=9 tests/world

flux: setup ## Flux's kustomize-controller with the operator (Linux, root; builds it from its Go module the first time)
	@if [ -n "$$ASSAY_FLEET" ]; then exec $(PY) -m pytest -x -s tests/flux; fi; \
	trap '$(VENV)/bin/fleet down --name flux' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	$(VENV)/bin/fleet up --name flux --clusters hub,east,west && \
	ASSAY_FLEET=flux $(PY) -m pytest -x -s tests/flux

# Tests on clusters wait for pods most of the time; what needs no cluster runs on what they leave of the processors.
# A shell starts what is in the background with Ctrl-C ignored, which some tests are about.
test: setup lint ## everything, what CI runs
	@log=$$(mktemp); env --default-signal=INT,QUIT nice -n 19 $(MAKE) -k --no-print-directory unit decisions > $$log 2>&1 & pure=$$!; \
	trap '[ -z "$$pure" ] || kill $$pure 2> /dev/null; rm -f $$log' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	echo "test: unit and decisions run beside the clusters, at the lowest priority; what they print follows at the end"; \
	$(MAKE) --no-print-directory clusters; clusters=$$?; \
	kill -0 $$pure 2> /dev/null && echo "test: waiting for unit and decisions"; \
	wait $$pure; rest=$$?; pure=; cat $$log; \
	echo "test: unit and decisions $$( [ $$rest = 0 ] && echo passed || echo FAILED ), clusters $$( [ $$clusters = 0 ] && echo passed || echo FAILED )"; \
	exit $$(( rest + clusters > 0 ))

demo: setup ## three clusters, three versions: one rolled back, one promoted (KEEP=1 leaves the fleet)
	@$(PY) -m demo

guide: setup ## fifteen steps of a project with several classes, from data to the second model (KEEP=1 leaves the fleet)
	@$(PY) -m examples.digits

guide-check: setup ## the same, with what it must show checked
	@$(PY) -m pytest -x -s tests/guide

bench: setup ## all short measurements; each prints its table
	@for file in $(filter-out bench/server/compare.py bench/server/pairs.py bench/scale/%,$(wildcard bench/*/*.py)); do echo "== $$file"; PYTHONPATH=. $(PY) $$file || exit 1; done

bench-server: setup ## model servers side by side (half an hour, and GBs of peers once); writes docs/benchmarks.md
	@exec $(PY) -m bench.server.compare

bench-scale: setup ## the operator with a thousand ModelDeployments on real API servers (Linux, root; a quarter of an hour)
	@exec $(PY) -m bench.scale.operator_load

fuzz: setup ## broken input for model server and ledger (two hours); writes docs/fuzzing.md
	@exec $(PY) -m tests.fuzz

.PHONY: help setup lock generate sbom reproducible docs lint unit simulate explore decisions clusters test world flux demo guide guide-check bench bench-server bench-scale fuzz
