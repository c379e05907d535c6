# The commands of the house. `make help` lists them; `make run` and `make test` are all that most need.

PRESET ?= release
BUILD := build/$(PRESET)
JOBS ?= $(shell nproc)
DATA_DIR ?= data
# Some machines that build run without one; caches are below it.
export HOME := $(or $(HOME),$(shell getent passwd "$$(id -u)" | cut -d: -f6))

.PHONY: help deps build programs run stop test bench lint format tidy clean sanitize tsan fuzz

help: ## List these commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

deps: ## Install missing Debian packages and fetch libchdb into the user's cache
	@sh cmake/install-packages.sh build
	@sh cmake/install-libchdb.sh

build: deps ## Build everything into build/release/bin
	@mkdir -p build
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build $(BUILD) -j $(JOBS)

programs: deps ## Build what runs, without the tests
	@mkdir -p build
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build $(BUILD) -j $(JOBS) --target programs

run: programs ## Start everything behind (or use what runs), play sample logs, say where to look
	@$(BUILD)/bin/yagura --data-dir $(DATA_DIR) up --detach
	@$(BUILD)/bin/yagura --data-dir $(DATA_DIR) demo

stop: ## Stop what make run started
	@if [ -x $(BUILD)/bin/yagura ]; then $(BUILD)/bin/yagura --data-dir $(DATA_DIR) down; \
	else echo "Nothing is built, so nothing runs."; fi

test: ## Install, build and run every test
	@sh cmake/install-packages.sh test
	@$(MAKE) --no-print-directory build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

bench: ## Build and run the benches, print the table
	@sh cmake/install-packages.sh bench
	@$(MAKE) --no-print-directory build
	@sh tests/bench/run.sh $(BUILD)

lint: ## clang-format, clang-tidy on changed files, buf lint, dependency rule
	@sh cmake/install-packages.sh build lint
	@sh cmake/lint.sh $(BUILD)

format: ## Format all sources in place
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

sanitize: ## Build with ASan and UBSan and run every test
	@sh cmake/install-packages.sh test
	@$(MAKE) --no-print-directory build PRESET=sanitize
	@ctest --test-dir build/sanitize --output-on-failure -j $(JOBS)

tsan: ## Build the libraries without gRPC with TSan and run their tests
	@sh cmake/install-packages.sh test
	@$(MAKE) --no-print-directory build PRESET=tsan
	@ctest --test-dir build/tsan --output-on-failure -j $(JOBS)

fuzz: ## Let every fuzz target search for FUZZ_SECONDS (60) under ASan and UBSan
	@sh cmake/install-packages.sh build fuzz
	@mkdir -p build
	@test -f build/fuzz/build.ninja || cmake --preset fuzz
	@cmake --build build/fuzz -j $(JOBS) --target fuzzers
	@FUZZ_JOBS=$(JOBS) sh tests/fuzz/run.sh build/fuzz

clean: ## Remove what was built
	@rm -rf build
