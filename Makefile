# What a person types. Every target first installs what it needs (nothing, the second time) and leaves the programs in build/.
PREFIX = /usr/local
.PHONY: all setup programs run test lint bench bench-sched docs install clean

all: programs

setup:
	@tools/setup run build test lint

programs:
	@tools/setup build
	@test -f build/build.ninja || meson setup build --prefix=$(PREFIX)
	@ninja -C build --quiet

# A guest from nothing: tiny image, first VM, its row and its console.
run:
	@tools/setup run
	@$(MAKE) --no-print-directory programs
	@tools/run

# ONLY=pattern runs the test cases whose name contains it.
test:
	@tools/setup run build test
	@$(MAKE) --no-print-directory programs
	@test/run $(if $(ONLY),--only '$(ONLY)')

lint:
	@tools/setup build lint
	@$(MAKE) --no-print-directory programs
	@tools/lint

bench:
	@tools/setup run build bench
	@$(MAKE) --no-print-directory programs
	@test/bench/run $(if $(ONLY),--only '$(ONLY)')

# Scheduling alone; HOSTLER_TRACES names a folder of recorded days (test/bench/bench_sched.py).
bench-sched:
	@$(MAKE) --no-print-directory programs
	@test/bench/run --only sched

# Rewrites the generated references under docs/ and man/.
docs: programs
	@tools/declare.py --references

install:
	@tools/setup run
	@$(MAKE) --no-print-directory programs
	meson install -C build --no-rebuild

clean:
	rm -rf build build-asan build-tsan build-fuzz
