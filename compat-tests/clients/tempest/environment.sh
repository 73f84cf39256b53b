#!/bin/bash
# Prints the folder of the Python environment that Tempest 47 and its plugins are in, making it if need be.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../venv.sh" tempest tempest==47.0.0 keystone-tempest-plugin==0.22.0 glance-tempest-plugin==0.17.0 openstacksdk PyYAML
