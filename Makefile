# Sluice. Every target is here; `make help` lists them.
#
#   BUILD   where objects and programs go           (default: build, build/asan …)
#   SAN     asan | ubsan | tsan: a sanitizer build   (default: none)
#   DEBUG   debug information                        (default: -g1, lines of a backtrace; -g for a debugger)
#   V       1: show every command
#   CACHE   where third-party builds are kept        (default: ~/.cache/sluice)
#   SLUICE_OLDER  1: with the older pinned libraries (default: none; goes to build/older, see docs/building.md)

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# Under sudo the cache is that of the user who called it, so that `sudo make install` builds nothing anew.
CACHE ?= $(or $(SLUICE_CACHE),$(if $(SUDO_USER),$(shell getent passwd '$(SUDO_USER)' | cut -d: -f6),$(HOME))/.cache/sluice)
export SLUICE_CACHE := $(CACHE)
# Before 4.4, make does not hand exported variables to $(shell).
DEPS := $(shell SLUICE_CACHE='$(CACHE)' SLUICE_OLDER='$(SLUICE_OLDER)' deps/install prefix)

SAN ?=
V ?=
Q := $(if $(V),,@)
FUZZER ?=
ifeq ($(FUZZER),libfuzzer)
BUILD ?= build/libfuzzer
CXX := clang++
SANFLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
BUILD ?= build$(if $(SLUICE_OLDER),/older)$(if $(SAN),/$(SAN))
ifneq ($(shell command -v ccache 2>/dev/null),)
CCACHE ?= ccache
endif

VERSION := 0.1.0
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual -Werror
OPT ?= -O2
TEST_OPT ?= -O1
DEBUG ?= -g1
SANFLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANFLAGS_ubsan := -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANFLAGS_tsan := -fsanitize=thread -fno-omit-frame-pointer
SANFLAGS ?= $(SANFLAGS_$(SAN))
CPPFLAGS += -Isrc -Itests -isystem $(DEPS)/include -DSLUICE_VERSION='"$(VERSION)"' -DFMT_HEADER_ONLY=0
CXXFLAGS += -std=c++20 $(DEBUG) $(OPT) -fno-plt -pthread $(WARN) $(SANFLAGS)
ifeq ($(SAN),)
CPPFLAGS += -D_FORTIFY_SOURCE=2
CXXFLAGS += -fstack-protector-strong -fPIE
LDFLAGS += -pie -Wl,-z,relro,-z,now
endif
# wolfSSL calls sluice_random_block (src/tls/random.cc), which the linker would not look for in libsluice.a by itself.
LDFLAGS += -pthread $(SANFLAGS) -L$(DEPS)/lib -Wl,-u,sluice_random_block
# wolfCrypt's calls of its AES-GCM come to src/tls/aes_gcm.cc first, which is faster where the CPU has wider instructions.
ifeq ($(shell uname -m),x86_64)
LDFLAGS += -Wl,-u,__wrap_AES_GCM_encrypt_avx2,--wrap=AES_GCM_encrypt_avx2,--wrap=AES_GCM_decrypt_avx2
endif
LDLIBS += -luring -lwolfssl -lllhttp -lfmt -lre2 -lpcap -lcares -lcrypt -lidn2 -lz -lbrotlidec -lzstd -lm

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

# Tests are half of the code and run for seconds; optimized in full they would take most of a first build.
$(addprefix $(BUILD)/tests/,unit/%.o sim/%.o fuzz/%.o): OPT = $(TEST_OPT)

# The compiler does not list headers of the prefix as dependencies; when the libraries change, all is built anew.
$(BUILD)/%.o: %.cc $(wildcard $(DEPS)/complete) | deps-ready
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CXX   $@")
	$(Q)$(CCACHE) $(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

# What tests compress for the decoder to decode.
$(BUILD)/unit_tests: LDLIBS += -lbrotlienc
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

# The load generators share no code with what they measure.
$(BUILD)/bench_load: $(BUILD)/tests/bench/load.o
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^

$(BUILD)/bench_tls_load: $(BUILD)/tests/bench/tls_load.o
	@$(if $(V),,echo "  LINK  $@")
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ -lssl -lcrypto

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)

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

.PHONY: demo
demo:  ## three throw-away namespaces, real curl and nginx, a table of who saw what (needs root)
	deps/install packages demo
	$(MAKE) --no-print-directory all
	SLUICE_BIN=$(BUILD)/sluice demo/run

.PHONY: e2e
e2e: $(BUILD)/sluice  ## real traffic in network namespaces (root); QUICK=1 leaves the slow ones out
	SLUICE_BIN=$(BUILD)/sluice $(PYTEST) -n 3 --dist loadfile tests/e2e

.PHONY: bench
bench:  ## sluice beside haproxy, nginx, squid, sslsplit and no proxy (root): BENCH_ONLY= BENCH_WHAT= BENCH_ROUNDS=
	deps/install packages bench
	+@$(MAKE) --no-print-directory $(JOBS) $(BUILD)/sluice $(addprefix $(BUILD)/bench_,load tls_load rules mint)
	tests/bench/run --build $(BUILD)
	$(if $(BENCH_ONLY)$(BENCH_WHAT),,$(BUILD)/bench_rules | tee $(BUILD)/bench-rules.txt; $(BUILD)/bench_mint | tee $(BUILD)/bench-mint.txt)

.PHONY: tidy
tidy: | deps-ready  ## shellcheck over the scripts, clang-tidy over src/; every finding an error (.clang-tidy says which)
	deps/install packages tidy
	shellcheck .ci/run deps/install kernel-setup/sluice-kernel-setup $(addprefix packaging/debian/,postinst postrm prerm)
	printf '%s\n' $(SRC) tests/fuzz/driver.cc | xargs -P $(shell nproc) \
	  -I{} clang-tidy -quiet {} -- $(CPPFLAGS) -std=c++20 2>/dev/null  # stderr only counts what it left out

# --- on this machine -------------------------------------------------------------------------------------------------

CONFIG ?= rules.toml
# Refuses to touch an installation that is up. Signals go to the daemon, which drains; a second one stops it at once.
define RUN
set -u
setup() { SLUICE_BIN='$(BUILD)/sluice' kernel-setup/sluice-kernel-setup "$$@"; }
setup status --quiet; state=$$?
if [ $$state -ne 3 ]; then
  echo "make run: redirection is up already (or left over): 'systemctl stop sluice sluice-kernel-setup'," \
    "or 'kernel-setup/sluice-kernel-setup down'" >&2
  exit 1
fi
trap 'trap "" INT TERM HUP; setup down' EXIT
trap 'exit 130' INT; trap 'exit 143' TERM HUP
setup up -c '$(CONFIG)' $(foreach name,$(LAN),--lan '$(name)') || exit 1
'$(BUILD)/sluice' run -c '$(CONFIG)' & daemon=$$!
trap 'kill -TERM $$daemon' INT TERM HUP
code=0
while wait $$daemon; code=$$?; kill -0 $$daemon 2>/dev/null; do :; done
exit $$code
endef

.PHONY: run
run: export SLUICE_RUN = $(RUN)
run: $(BUILD)/sluice  ## gateway in the foreground until Ctrl-C: make run LAN=eth1 [CONFIG=rules.toml] (asks sudo for root)
	@if [ "$$(id -u)" -eq 0 ]; then exec bash -c "$$SLUICE_RUN"; else exec sudo bash -c "$$SLUICE_RUN"; fi

# --- install and package ---------------------------------------------------------------------------------------------

PREFIX ?= /usr
DESTDIR ?=
MAN := $(wildcard docs/man/*.[58])
DOCS := $(wildcard docs/*.md)
UNITS := systemd/sluice.service systemd/sluice-kernel-setup.service
# Units and script name /usr/sbin; elsewhere they follow PREFIX.
AT_PREFIX := sed -e 's|/usr/sbin/|$(PREFIX)/sbin/|g'

.PHONY: install uninstall
install: $(BUILD)/sluice  ## install below DESTDIR, PREFIX=/usr; /etc/sluice/rules.toml is never overwritten
	$(Q)install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)/etc/sluice $(DESTDIR)/etc/logrotate.d $(DESTDIR)$(PREFIX)/lib/systemd/system \
	  $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 \
	  $(DESTDIR)$(PREFIX)/share/doc/sluice
	$(Q)install -m 0755 $(BUILD)/sluice $(DESTDIR)$(PREFIX)/sbin/sluice
	$(Q)install -m 0755 kernel-setup/sluice-kernel-setup $(DESTDIR)$(PREFIX)/sbin/sluice-kernel-setup
	$(Q)install -m 0644 systemd/sluice.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sluice.conf
	$(Q)install -m 0644 packaging/sluice.logrotate $(DESTDIR)/etc/logrotate.d/sluice
	@set -e; for unit in $(UNITS); do $(AT_PREFIX) $$unit | \
	  install -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; done
	$(Q)install -m 0644 $(DOCS) $(DESTDIR)$(PREFIX)/share/doc/sluice/
	@set -e; for page in $(MAN); do install -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/; done
	@if [ -e $(DESTDIR)/etc/sluice/rules.toml ]; then \
	  echo "kept: $(DESTDIR)/etc/sluice/rules.toml (the shipped one: rules.toml)"; \
	else install -m 0644 rules.toml $(DESTDIR)/etc/sluice/rules.toml; fi
	@if [ -z "$(DESTDIR)" ]; then \
	  if command -v systemd-sysusers >/dev/null; then systemd-sysusers $(PREFIX)/lib/sysusers.d/sluice.conf; fi; \
	  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; \
	  echo "Installed; nothing is redirected yet. Name the LAN interface in /etc/sluice/rules.toml, then:"; \
	  echo "  systemctl enable --now sluice-kernel-setup sluice"; fi

uninstall:  ## stop, take the kernel's rules down, remove what install put there; configuration and logs stay
	@if [ -z "$(DESTDIR)" ]; then \
	  if [ -d /run/systemd/system ]; then systemctl disable --now sluice.service sluice-kernel-setup.service || true; fi; \
	  if [ -x $(PREFIX)/sbin/sluice-kernel-setup ]; then $(PREFIX)/sbin/sluice-kernel-setup down; fi; fi
	$(Q)rm -f $(DESTDIR)$(PREFIX)/sbin/sluice $(DESTDIR)$(PREFIX)/sbin/sluice-kernel-setup \
	  $(DESTDIR)$(PREFIX)/lib/sysusers.d/sluice.conf $(DESTDIR)/etc/logrotate.d/sluice \
	  $(foreach u,$(notdir $(UNITS)),$(DESTDIR)$(PREFIX)/lib/systemd/system/$(u)) \
	  $(foreach m,$(notdir $(MAN)),$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(m)))/$(m)) \
	  $(addprefix $(DESTDIR)$(PREFIX)/share/doc/sluice/,$(notdir $(DOCS)))
	$(Q)rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/share/doc/sluice 2>/dev/null || true
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "left in place: $(DESTDIR)/etc/sluice (configuration), /var/log/sluice, user sluice"

DEB_ARCH = $(shell dpkg --print-architecture)
DEB_ROOT := $(BUILD)/deb/sluice
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

.PHONY: deb
deb: $(BUILD)/sluice  ## build/sluice_VERSION_ARCH.deb
	$(Q)rm -rf $(BUILD)/deb
	$(Q)$(MAKE) --no-print-directory install DESTDIR=$(DEB_ROOT) PREFIX=/usr
	$(Q)strip --strip-unneeded $(DEB_ROOT)/usr/sbin/sluice
	$(Q)gzip -9n $(DEB_ROOT)/usr/share/man/man*/*
	$(Q)install -d $(DEB_ROOT)/DEBIAN $(BUILD)/deb/debian
	$(Q)install -m 0644 packaging/debian/copyright $(DEB_ROOT)/usr/share/doc/sluice/
	$(Q)printf 'sluice (%s) unstable; urgency=medium\n\n  * See the commit history.\n\n -- %s  %s\n' $(VERSION) \
	  "$$(sed -n 's/^Maintainer: //p' packaging/debian/control.in)" "$$(date -u -R -d @$(SOURCE_DATE_EPOCH))" | \
	  gzip -9n > $(DEB_ROOT)/usr/share/doc/sluice/changelog.gz
	$(Q)install -m 0755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm $(DEB_ROOT)/DEBIAN/
	$(Q)printf '%s\n' /etc/sluice/rules.toml /etc/logrotate.d/sluice > $(DEB_ROOT)/DEBIAN/conffiles
	$(Q)printf 'Source: sluice\n\nPackage: sluice\nArchitecture: any\n' > $(BUILD)/deb/debian/control
	$(Q)cd $(BUILD)/deb && dpkg-shlibdeps -O -e sluice/usr/sbin/sluice 2> shlibdeps.log > substvars || { cat shlibdeps.log >&2; exit 1; }
	$(Q)sed -e 's|@VERSION@|$(VERSION)|; s|@ARCH@|$(DEB_ARCH)|' -e "s|@SIZE@|$$(du -sk --apparent-size $(DEB_ROOT) | cut -f1)|" \
	  -e "s|@SHLIBS@|$$(sed -n 's/^shlibs:Depends=//p' $(BUILD)/deb/substvars)|" packaging/debian/control.in \
	  > $(DEB_ROOT)/DEBIAN/control
	$(Q)cd $(DEB_ROOT) && find usr -type f -print0 | sort -z | xargs -0 md5sum > DEBIAN/md5sums
	$(Q)SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) dpkg-deb --root-owner-group -Zxz --build $(DEB_ROOT) \
	  $(BUILD)/sluice_$(VERSION)_$(DEB_ARCH).deb

.PHONY: clean
clean:  ## remove build/
	rm -rf build

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z][a-z -]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
