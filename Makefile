# Two commands do everything on a fresh machine: `make demo` and `make test`. Each makes .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help demo test test-slow lab book docs readme clean
help:           ## show this list
	@echo "The first of these makes $(VENV): Python 3.11 or newer, a network, about 6 GB and some minutes. Times are for 2 cores."
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12
	@echo "One page, one check, one drawing: tools/, explained in CONTRIBUTING.md."

$(READY): requirements.txt settings.ini setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "siamese_nbdev needs Python 3.11 or newer; name one: make demo PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $(READY)

demo: $(READY)  ## render the pedestrians, train, embed, search, evaluate; results in runs/demo (3 minutes, no network)
	$(BIN)/siamese-nbdev demo

test: $(READY)  ## everything that CI checks (under 15 minutes, no network, no GPU)
	$(BIN)/python tools/check.py

test-slow: $(READY) ## the long tests: killed runs, several processes, hundreds of backbones (longer than test; no part of test)
	$(BIN)/python -m pytest -m slow

lab: $(READY)   ## open the notebooks in JupyterLab (until it is stopped)
	$(BIN)/jupyter lab nbs/index.ipynb

book: $(READY)  ## execute the pages that are out of date, then write the reference and the README (seconds to minutes a page; all of them about an hour)
	$(BIN)/python tools/book.py
	$(BIN)/python tools/website.py --reference
	$(BIN)/python tools/readme.py

docs: $(READY)  ## build the docs site into _docs from the saved outputs and follow its links (needs Quarto 1.7; some minutes)
	$(BIN)/python tools/website.py
	$(BIN)/python tools/website_checks.py --built _docs

readme: $(READY) ## write README.md from nbs/index.ipynb (seconds)
	$(BIN)/python tools/readme.py

clean:          ## remove what the commands generated, trained networks too; .venv stays
	rm -rf runs data/pedestrians* _docs _proc build *.egg-info nbs/nbdev.yml nbs/.quarto nbs/_docs index_files
