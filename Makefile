# Sluice. Every target is here; `make help` lists them.
#
#   BUILD   where objects and programs go           (default: build, build/asan …)
#   SAN     asan | ubsan | tsan: a sanitizer build   (default: none)
#   V       1: show every command
#   CACHE   where third-party builds are kept        (default: ~/.cache/sluice)

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

CACHE ?= $(if $(SLUICE_CACHE),$(SLUICE_CACHE),$(HOME)/.cache/sluice)
export SLUICE_CACHE := $(CACHE)
DEPS := $(shell deps/install prefix)

SAN ?=
V ?=
Q := $(if $(V),,@)
FUZZER ?=
ifeq ($(FUZZER),libfuzzer)
BUILD ?= build/libfuzzer
CXX := clang++
SANFLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
BUILD ?= build$(if $(SAN),/$(SAN))
ifneq ($(shell command -v ccache 2>/dev/null),)
CCACHE ?= ccache
endif

VERSION := 0.1.0
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual -Werror
OPT ?= -O2
SANFLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANFLAGS_ubsan := -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANFLAGS_tsan := -fsanitize=thread -fno-omit-frame-pointer
SANFLAGS ?= $(SANFLAGS_$(SAN))
CPPFLAGS += -Isrc -Itests -isystem $(DEPS)/include -DSLUICE_VERSION='"$(VERSION)"' -DFMT_HEADER_ONLY=0
CXXFLAGS += -std=c++20 -g $(OPT) -fno-plt -pthread $(WARN) $(SANFLAGS)
ifeq ($(SAN),)
CPPFLAGS += -D_FORTIFY_SOURCE=2
CXXFLAGS += -fstack-protector-strong -fPIE
LDFLAGS += -pie -Wl,-z,relro,-z,now
endif
LDFLAGS += -pthread $(SANFLAGS) -L$(DEPS)/lib
LDLIBS += -luring -lwolfssl -lfmt -lre2 -lpcap -lidn2 -lm

SRC := $(shell find src -name '*.cc' | sort)
LIB_OBJ := $(patsubst %.cc,$(BUILD)/%.o,$(filter-out src/main.cc,$(SRC)))
UNIT_OBJ := $(patsubst %.cc,$(BUILD)/%.o,$(shell find tests/unit -name '*.cc' | sort))
SIM_OBJ := $(patsubst %.cc,$(BUILD)/%.o,$(shell find tests/sim -name '*.cc' | sort))
FUZZ_DRIVER := $(if $(filter libfuzzer,$(FUZZER)),,$(BUILD)/tests/fuzz/driver.o)
FUZZ := $(patsubst tests/fuzz/%_fuzz.cc,$(BUILD)/fuzz_%,$(wildcard tests/fuzz/*_fuzz.cc))
BENCH := $(patsubst tests/bench/%.cc,$(BUILD)/bench_%,$(wildcard tests/bench/*.cc))

.PHONY: all
all: $(BUILD)/sluice  ## build build/sluice

$(BUILD)/sluice: $(BUILD)/src/main.o $(BUILD)/libsluice.a
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libsluice.a: $(LIB_OBJ)
	@rm -f $@
	@$(if $(V),,echo "  AR    $@")
	$(Q)ar rcs $@ $^

$(BUILD)/%.o: %.cc | deps-ready
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CXX   $@")
	$(Q)$(CCACHE) $(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/unit_tests: $(UNIT_OBJ) $(BUILD)/libsluice.a
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/sim_tests: $(SIM_OBJ) $(BUILD)/libsluice.a
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Each fuzz target: replays its corpus and mutates it with a printed seed (tests/fuzz/driver.cc). With clang and
# FUZZER=libfuzzer it is a libFuzzer binary instead, in a build directory of its own.
$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/%_fuzz.o $(FUZZ_DRIVER) $(BUILD)/libsluice.a
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/bench_%: $(BUILD)/tests/bench/%.o $(BUILD)/libsluice.a
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The load generator shares no code with what it measures.
$(BUILD)/bench_load: $(BUILD)/tests/bench/load.o
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

.PHONY: deps deps-ready
deps:  ## install packages and build the pinned libraries (needs root for apt)
	deps/install all

deps-ready:
	@deps/install ready || deps/install all

PYTEST := /usr/bin/python3 -m pytest -p no:cacheprovider
FUZZ_SEED ?= 1
FUZZ_RUNS ?= 20000
export FUZZ_RUNS FUZZ_SEED

# One suite after the other, results added up by tests/run_suites.py from what each wrote as JUnit XML. The programs are
# built by a make of its own, because the packages that it needs may only just have been installed.
SUITES ?= tree unit sim fuzz e2e
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
.PHONY: test test-programs asan ubsan tsan
test:  ## install what tests need, build, run every suite; ends with "N passed, N failed"; SUITES="unit sim" for some
	deps/install packages build test
	+@$(MAKE) --no-print-directory $(JOBS) test-programs
	$(if $(filter tsan,$(SAN)),setarch -R) tests/run_suites.py --build $(BUILD) $(SUITES)

test-programs: all $(BUILD)/unit_tests $(if $(SIM_OBJ),$(BUILD)/sim_tests) $(FUZZ)

# TSan wants addresses where it expects them, which needs address randomization off: setarch -R above.
asan ubsan tsan:  ## the same suites in a build with that sanitizer, in build/asan …
	+@$(MAKE) --no-print-directory SAN=$@ SUITES="$(filter-out tree,$(SUITES))" test

.PHONY: tree unit sim fuzz
tree:  ## the include graph and what the documents claim
	$(PYTEST) -q tests/tree

unit: $(BUILD)/unit_tests  ## unit tests
	$(BUILD)/unit_tests

sim: $(BUILD)/sim_tests  ## flow code against a fake kernel
	$(BUILD)/sim_tests

fuzz: $(FUZZ)  ## replay each corpus and mutate it: FUZZ_SECONDS=60 or FUZZ_RUNS=, FUZZ_SEED=; FUZZER=libfuzzer with clang
ifeq ($(FUZZER),libfuzzer)
	@set -e; $(foreach t,$(FUZZ),mkdir -p $(t).corpus; $(t) -max_len=98304 -max_total_time=$(or $(FUZZ_SECONDS),60) \
	  -artifact_prefix=$(t). $(t).corpus tests/fuzz/corpus/$(patsubst $(BUILD)/fuzz_%,%,$(t));)
else
	@set -e; $(foreach t,$(FUZZ),$(t) --corpus tests/fuzz/corpus/$(patsubst $(BUILD)/fuzz_%,%,$(t)) --crash $(BUILD) \
	  --seed $(FUZZ_SEED) $(if $(FUZZ_SECONDS),--seconds $(FUZZ_SECONDS),--runs $(FUZZ_RUNS));)
endif

.PHONY: e2e
e2e: $(BUILD)/sluice  ## real traffic in network namespaces (root); QUICK=1 leaves the slow ones out
	SLUICE_BIN=$(BUILD)/sluice $(PYTEST) tests/e2e

.PHONY: bench
bench: $(BUILD)/sluice $(BUILD)/bench_load  ## sluice beside haproxy, nginx, squid and no proxy (root): BENCH_ONLY= BENCH_WHAT= BENCH_ROUNDS=
	tests/bench/run --build $(BUILD)

.PHONY: tidy
tidy: | deps-ready  ## clang-tidy over src/, every finding an error (.clang-tidy says which)
	deps/install packages tidy
	printf '%s\n' $(SRC) tests/fuzz/driver.cc | xargs -P $(shell nproc) \
	  -I{} clang-tidy -quiet {} -- $(CPPFLAGS) -std=c++20 2>/dev/null  # stderr only counts what it left out

.PHONY: clean
clean:  ## remove build/
	rm -rf build

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z][a-z -]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
