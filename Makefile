# Two commands do everything on a fresh machine: `make demo` and `make test`. Each makes .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help demo test test-slow lab book docs readme clean
help:           ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.txt settings.ini setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "siamese_nbdev needs Python 3.11 or newer; name one: make demo PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $(READY)

demo: $(READY)  ## render the pedestrians, train, embed, search, evaluate; results in runs/demo
	$(BIN)/siamese-nbdev demo

test: $(READY)  ## everything that CI checks (under 15 minutes on 2 cores)
	$(BIN)/python tools/check.py

test-slow: $(READY) ## the long process tests (kills, restarts, many processes)
	$(BIN)/python -m pytest -m slow

lab: $(READY)   ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs/index.ipynb

book: $(READY)  ## execute every page that is out of date, then write the reference and the README
	$(BIN)/python tools/book.py
	$(BIN)/python tools/website.py --reference
	$(BIN)/python tools/readme.py

docs: $(READY)  ## build the docs site into _docs and follow its links (needs Quarto)
	$(BIN)/python tools/website.py
	$(BIN)/python tools/website_checks.py --built _docs

readme: $(READY) ## write README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

clean:          ## remove what the commands generated (not .venv)
	rm -rf runs data/pedestrians* _docs _proc build *.egg-info nbs/nbdev.yml nbs/.quarto nbs/_docs index_files
