# Gapura's commands. `make` alone lists them.
.DEFAULT_GOAL := help
CARGO ?= $(shell etc/cargo.sh || echo cargo)
.PHONY: help run stop doctor build demo client test verify tempest fuzz bench migration-bench spec fmt lint clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: ## from a fresh Debian to a running cloud, in the foreground
	@etc/run.sh

stop: ## after make run: end the libvirtd it started with its machines, and remove the cloud's bridges
	@etc/stop.sh

doctor: ## look for what is amiss with the cloud of make run, and say how to mend it
	@etc/gapura.sh doctor

build: ## build the program
	$(CARGO) build --release --locked

demo: ## the whole job with the real openstack client, against the cloud of make run
	@compat-tests/clients/main_job/run.sh

client: ## get the newest openstack client, and print where it is
	@echo $$(compat-tests/clients/venv.sh openstackclient python-openstackclient)/bin/openstack

test: ## what CI runs: under twenty minutes on two cores
	@compat-tests/run.sh test

verify: ## everything there is: every client suite as well
	@compat-tests/run.sh verify

tempest: ## all of Tempest's compute on real machines; keeps the result in compat-tests/results
	@compat-tests/run.sh tempest_libvirt

fuzz: ## every fuzz target for a minute
	@FUZZ_SECONDS=60 compat-tests/run.sh fuzz

bench: ## measure, and print the tables of benches/README.md
	@compat-tests/bench/run.sh

migration-bench: ## measure live migration beside plain virsh migrate; fails when a bound is missed
	@compat-tests/bench/migration.sh

spec: ## write api-specs, etc/policy.yaml (what was changed in it is lost) and the README's table of what is served
	$(CARGO) run --quiet --locked -- spec api-specs
	$(CARGO) run --quiet --locked -- policy > target/policy.yaml && mv target/policy.yaml etc/policy.yaml
	@python3 compat-tests/served.py

fmt: ## format the code
	$(CARGO) fmt

lint: ## check format, lints, licences
	@compat-tests/run.sh format lints licences

clean: ## remove what was built; the cloud's state in var/ stays
	$(CARGO) clean
