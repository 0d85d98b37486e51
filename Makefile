# SkyNET. `make help` lists the verbs.

TRIPLE  := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
OUT     := target/skynet
# One of these runs per service: with musl its start costs a third and its memory half, for glibc asks the processor about
# itself at each start. Where Rust's library for musl is not there (rustup target add …) they are built with glibc.
MUSL    := $(patsubst %-gnu,%-musl,$(filter %-gnu,$(TRIPLE)))
TINYTRIPLE := $(if $(and $(MUSL),$(wildcard $(shell rustc --print sysroot 2>/dev/null)/lib/rustlib/$(MUSL)/lib)),$(MUSL),$(TRIPLE))
TINY    := svscan supervise svctl
TOOLS   := envdir fghack pgrphack readproctitle setlock softlimit svscanboot tai64n tai64nlocal
SMALLFLAGS := -C target-feature=+crt-static -C relocation-model=static

# DESTDIR=DIR lays it out below DIR, for a package, without accounts. It builds nothing: `make build`, then `sudo make install`.
.PHONY: help build install uninstall demo test chaos bench fuzz memcheck lint doc clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# More than one call: with crt-static cargo refuses the extension module, and programs that look users up must be
# dynamic (setuidgid and envuidgid of tools/). A test that gives programs a clock needs the others so, too.
build: ## builds every program into target/skynet/bin
	cargo build --quiet --release --workspace --exclude tests --exclude benches
	RUSTFLAGS="$(SMALLFLAGS)" cargo build --quiet --profile small --target $(TINYTRIPLE) $(TINY:%=-p %)
	RUSTFLAGS="$(SMALLFLAGS)" cargo build --quiet --profile small --target $(TRIPLE) -p multilog
	RUSTFLAGS="$(SMALLFLAGS)" cargo build --quiet --profile small --target $(TRIPLE) -p tools $(TOOLS:%=--bin %)
	@packaging/layout target/release target/$(TRIPLE)/small target/$(TINYTRIPLE)/small $(OUT)

install: ## puts what was built onto this machine (as root), or below DESTDIR
	@packaging/install $(OUT) $(DESTDIR)

uninstall: ## takes away what install put onto this machine; settings, states and logs stay
	@packaging/uninstall

# What the tests need comes over the network, while the processors build.
test: ## gets what the tests need, builds, runs all tests
	tests/setup & $(MAKE) --no-print-directory build; built=$$?; wait $$! && exit $$built
	tests/run

chaos: ## every chaos test for SECONDS each (60), and its line of figures
	tests/setup
	$(MAKE) --no-print-directory build
	SKYNET_CHAOS_SECONDS=$(or $(SECONDS),60) tests/run -p tests --test '*chaos*' -- --nocapture

demo: build ## shows the main job on real input, in this terminal
	@demo/need-python
	@python3 demo/demo.py

bench: ## ours beside the peers, as tables (BENCH: groups of benches/src/main.rs; exo beside Celery and others, broker beside RabbitMQ)
ifeq ($(BENCH),exo)
	@$(MAKE) --no-print-directory build
	tests/setup packages workers
	cargo build --quiet --release -p air --example bare_lapin
	target/tests/workers/bin/python benches/exo.py
else ifeq ($(BENCH),broker)
	@$(MAKE) --no-print-directory build
	tests/setup packages
	python3 benches/broker.py
else
	cargo build --quiet --release -p benches
	@target/release/bench --known $(BENCH)
	@$(MAKE) --no-print-directory build
	tests/setup peers || echo "bench: goes on without daemontools"
	tests/setup rivals || echo "bench: goes on without runit, s6 and ripgrep"
	target/release/bench $(BENCH)
endif

fuzz: ## every parser for SECONDS each (10); FUZZ names some of them
	fuzz/run $(or $(SECONDS),10) $(FUZZ)

# A child that shares our memory is a fork under valgrind, and it may not know pidfd_open: what needs these is left out.
memcheck: ## the unit tests of unix/, the home of unsafe, under valgrind
	@command -v valgrind >/dev/null || { echo "memcheck: there is no valgrind (sudo apt-get install valgrind)" >&2; exit 1; }
	CARGO_TARGET_$(shell echo $(TRIPLE) | tr a-z- A-Z_)_RUNNER="valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
		--show-leak-kinds=definite --error-exitcode=9" \
		cargo test --quiet -p unix --lib -- --test-threads=1 --color never --skip launch:: --skip an_identity_is_stable

lint: ## cargo fmt and clippy, and no aws-lc in the tree
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	@! cargo tree --workspace -i aws-lc-rs >/dev/null 2>&1 || { echo "lint: aws-lc-rs is in the tree (see cargo tree -i aws-lc-rs)" >&2; exit 1; }

doc: ## the API documentation, in target/doc
	cargo doc --workspace --no-deps

clean:
	cargo clean
