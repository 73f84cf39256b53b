# shellcheck shell=bash
# Sourced by the scripts beside it: the settings that `make run`, `make stop` and `make doctor` share with the program.
#
# What is given by the environment goes first, then etc/gapura.toml, then what suits a trial from a checkout: state in
# var/, and etc/policy.yaml. The program is given the same file, so that a setting changed there has its effect.

# in_file NAME: the value of a setting of the first level, if the file has one.
in_file() { sed -n "/^\[/q; s/^$1 *= *\"\(.*\)\".*/\1/p" "$checkout/etc/gapura.toml"; }

GAPURA_STATE_DIR=$(realpath -m "${GAPURA_STATE_DIR:-$(in_file state_dir | grep . || echo "$checkout/var")}")
GAPURA_HYPERVISOR=${GAPURA_HYPERVISOR:-$(in_file hypervisor | grep . || echo qemu:///system)}
GAPURA_LISTEN=${GAPURA_LISTEN:-$(in_file listen | grep . || echo 127.0.0.1:5000)}
GAPURA_POLICY_FILE=${GAPURA_POLICY_FILE:-$(in_file policy_file | grep . || echo "$checkout/etc/policy.yaml")}
export GAPURA_STATE_DIR GAPURA_HYPERVISOR GAPURA_LISTEN GAPURA_POLICY_FILE
unset GAPURA_CACHE # where packages are kept: no setting of the program's
gapura=("${CARGO_TARGET_DIR:-$checkout/target}/release/gapura" --config "$checkout/etc/gapura.toml")
