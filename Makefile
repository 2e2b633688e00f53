# Everything a developer or CI runs. `demo`, `test`, `lint` and `wheel` make a virtual environment in
# .venv by themselves; it is used again until the requirements file that a target needs changes.

PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check

# $(call stamp,venv,set) is the file that says that requirements/<set>.txt, as it reads now, is installed.
stamp = $(1)/.stamps/$(2)-$(firstword $(shell cat requirements/build.txt requirements/$(2).txt | cksum))

# Comparisons that `make fuzz` makes, and seconds that it gives to the parsers.
CASES ?= 1000000
SECONDS ?= 60
FUNCS ?=
# What `make bench` writes, and further arguments of `python -m rusttorch.bench`.
RECORD ?= benches/records/$(shell date -u +%F)-$(shell uname -m).json
BENCH_ARGS ?=
STRIDE ?= 1
# glibc keeps freed blocks: the blocks of `make ulp` would come from the system anew, for half of its time.
KEEP := MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python test-aarch64 test-avx512 fuzz opinfo ulp lint format bench wheel clean

help: ## Show this text
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@echo "== making the virtual environment $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(BENCH_VENV)/bin/python:
	@echo "== making the virtual environment $(BENCH_VENV)"
	$(PYTHON) -m venv $(BENCH_VENV)

# One rule per set of requirements: install it and leave the stamp.
define requirements
$(call stamp,$(1),$(2)): | $(1)/bin/python
	@echo "== installing requirements/$(2).txt into $(1)"
	$(1)/bin/python -m pip install $(PIP_FLAGS) -r requirements/$(2).txt
	@mkdir -p $$(@D) && rm -f $$(@D)/$(2)-* && touch $$@
endef
$(eval $(call requirements,$(VENV),build))
$(eval $(call requirements,$(VENV),demo))
$(eval $(call requirements,$(VENV),lint))
$(eval $(call requirements,$(VENV),test))
$(eval $(call requirements,$(BENCH_VENV),bench))

wheel: $(call stamp,$(VENV),build) ## Build dist/*.whl (CPython 3.10 and later, abi3)
	@echo "== building the wheel"
	@rm -f dist/rusttorch-*.whl
	$(BIN)/maturin build --quiet --release --locked --manifest-path python/Cargo.toml --interpreter $(BIN)/python --out dist
	@ls dist/rusttorch-*.whl

demo: $(call stamp,$(VENV),demo) wheel ## Build, install into .venv and run the demonstration
	$(BIN)/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps dist/rusttorch-*.whl
	$(BIN)/python -m rusttorch.demo

test: test-rust test-python ## Run all tests, Rust and Python

test-rust:
	@if cargo nextest --version > /dev/null 2>&1; then \
	  echo "== cargo nextest run --workspace"; cargo nextest run --locked --workspace; \
	else \
	  echo "== cargo-nextest is not installed: cargo test --workspace"; \
	  cargo test --locked --workspace --lib --bins --tests; \
	fi
	@echo "== documentation tests"
	cargo test --locked --workspace --doc

test-python: $(call stamp,$(VENV),test) wheel
	$(BIN)/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps dist/rusttorch-*.whl
	$(BIN)/pytest --config-file python/pyproject.toml --rootdir . $(PYTEST_ARGS) python/tests

opinfo: $(call stamp,$(VENV),test) wheel ## Run every sample of torch's OpInfo database, or of OPS="add sum", and print what differs from torch
	$(BIN)/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps dist/rusttorch-*.whl
	$(BIN)/python python/tests/opinfo.py $(OPS)

fuzz: ## Compare machine code with the interpreter in CASES random cases, then fuzz the parsers for SECONDS
	cargo run --locked --release -p rusttorch-runtime --example fuzz -- $(CASES)
	cargo run --locked --release -p rusttorch-ir --example fuzz_texts -- $(SECONDS)

test-aarch64: ## Compare machine code for aarch64 with the interpreter, under qemu
	@command -v qemu-aarch64 > /dev/null || { echo "make test-aarch64 needs qemu-aarch64; on Debian: apt-get install qemu-user"; exit 1; }
	SEEDS=$(or $(SEEDS),150) cargo test --locked -p rusttorch-runtime --test aarch64 -- --ignored --nocapture

test-avx512: ## Compare the emulator of AVX-512 that the tests use with Bochs
	@command -v bochs > /dev/null || { echo "make test-avx512 needs bochs; on Debian: apt-get install bochs bochsbios vgabios"; exit 1; }
	cargo test --locked -p rusttorch-emulator --test bochs -- --ignored --nocapture

ulp: $(call stamp,$(BENCH_VENV),bench) ## Accuracy of unary functions, all that the record lacks or FUNCS=exp,log; of every STRIDE-th input
	$(KEEP) cargo run --locked --release -p rusttorch-benches --bin ulp -- $(if $(FUNCS),--funcs $(FUNCS),--missing) --stride $(STRIDE) \
	  --python $(BENCH_VENV)/bin/python --record benches/records/accuracy.json --document docs/accuracy.md

lint: $(call stamp,$(VENV),lint) ## Check format, clippy, ruff and types
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff check --config python/pyproject.toml .
	$(BIN)/ruff format --config python/pyproject.toml --check .
	$(BIN)/mypy --config-file python/pyproject.toml

format: $(call stamp,$(VENV),lint) ## Format all sources
	cargo fmt --all
	$(BIN)/ruff check --config python/pyproject.toml --fix-only .
	$(BIN)/ruff format --config python/pyproject.toml .

bench: $(call stamp,$(BENCH_VENV),bench) wheel ## Run all benchmarks beside the peers (an hour); write RECORD and docs/speed.md
	$(BENCH_VENV)/bin/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps dist/rusttorch-*.whl
	cargo bench --locked --workspace
	@echo "== rusttorch.bench"
	$(BENCH_VENV)/bin/python -m rusttorch.bench --full --record $(RECORD) --plots docs --document docs/speed.md $(BENCH_ARGS)

clean: ## Remove what the targets above made
	rm -rf $(VENV) $(BENCH_VENV) dist
	cargo clean
