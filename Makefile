# Every target is `python3 make.py TARGET`; this file only saves typing.
# ARGS are handed on: make test ARGS="-k digest"
PYTHON ?= python3
TARGETS := env demo test check system peers bench campaign clean

.PHONY: help $(TARGETS)
help:
	@$(PYTHON) make.py
$(TARGETS):
	@$(PYTHON) make.py $@ $(ARGS)
