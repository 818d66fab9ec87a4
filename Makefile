# SPDX-License-Identifier: Apache-2.0
# The front door; meson and the scripts do the work. "make help" says what there is.
BUILD ?= build
PREFIX ?= /usr/local

all: $(BUILD)/build.ninja ## build the program and its plugins (in BUILD=build)
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup --prefix=$(PREFIX) $(BUILD)

deps: ## install what building, testing, measuring and packing need, or say what is missing
	@scripts/deps.sh build test bench image

demo: ## set up, build, and run it all in one process: broker, mailbox, entity service, page
	@scripts/deps.sh build
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh $(BUILD)

check: ## set up, and run the quick part of the tests: unit tests and lint, under a minute
	@scripts/deps.sh build
	@scripts/test.sh unit lint

test: ## set up, and run all tests
	@scripts/deps.sh build test image
	@scripts/test.sh

chaos: ## set up, build, and run the long fault beds; FAULTS="kill zombie ..." SEED=n SEEDS=20000
	@scripts/deps.sh build test
	@$(MAKE) --no-print-directory all
	@scripts/chaos.sh $(BUILD)

bench: ## set up, build, and measure
	@scripts/deps.sh build test bench
	@$(MAKE) --no-print-directory all
	@bench/run.sh $(BUILD)

image: ## set up, and build the container image
	@scripts/deps.sh build image
	@container/make-image.sh

install: all ## install under PREFIX=/usr/local; DESTDIR is obeyed
	@ninja -C $(BUILD) install

clean: ## remove what was built
	rm -rf build build-*

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

.PHONY: all deps demo check test chaos bench image install clean help
