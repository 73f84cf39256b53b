#!/bin/bash
# run.sh (`make run`): from a fresh machine to a running cloud, in the foreground; Ctrl-C stops it, its machines go on.
#
# Every step looks first at what is already there, so it may be run again at any time, also after a try that was cut
# off. Settings are those of etc/gapura.toml, and any may be given by the environment; unless they say otherwise, state is
# kept in var/ of the checkout. GAPURA_HYPERVISOR=simulated needs neither root nor libvirt once it is built.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
. "$here/say.sh"
cd "$checkout"
built=${1:-}

# Under sudo the files of a build belong to whom the checkout belongs to.
as_builder() {
  if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$(stat -c %U .)" = "$SUDO_USER" ]; then
    sudo -u "$SUDO_USER" -H "$@"
  else
    "$@"
  fi
}

if [ "$built" != --built ]; then
  "$here/install.sh" run
  cargo=$("$here/cargo.sh") || fail "no cargo that is new enough: run etc/install.sh"
  say "building; the first time takes some minutes"
  as_builder "$cargo" build --release --locked
  if [ ! -e target/gapura-test.qcow2 ] || [ -n "$(find etc/guest -newer target/gapura-test.qcow2)" ]; then
    step "building the guest image" as_builder "$here/guest/build.sh" target/gapura-test.qcow2
  fi
fi

. "$here/settings.sh"
case $GAPURA_HYPERVISOR in
  qemu*) # Networks, taps and libvirt's socket are root's.
    if [ "$(id -u)" != 0 ]; then
      exec sudo --preserve-env="$(compgen -e GAPURA_ | paste -sd ,)" "$0" --built
    fi ;;
esac
export GAPURA_INIT__IMAGE=${GAPURA_INIT__IMAGE:-$checkout/target/gapura-test.qcow2}
mkdir -p "$GAPURA_STATE_DIR"

# --- a libvirtd that answers and may read our disks -----------------------------------------------------------
answers() { timeout 5 virsh -q -c "$1" uri > /dev/null 2>&1; }
qemu_may_read() { runuser -u libvirt-qemu -- test -x "$GAPURA_STATE_DIR" 2> /dev/null; }
own_libvirtd() { GAPURA_HYPERVISOR=$(compat-tests/harness/libvirtd.sh start "$GAPURA_STATE_DIR/libvirtd"); }
if [ "$GAPURA_HYPERVISOR" = qemu:///system ]; then
  if ! answers "$GAPURA_HYPERVISOR" && [ -d /run/systemd/system ]; then
    step "starting libvirtd" systemctl start libvirtd || true
  fi
  if ! answers "$GAPURA_HYPERVISOR"; then
    say "no libvirtd answers: starting one of our own; its state is in $GAPURA_STATE_DIR/libvirtd"
    own_libvirtd
  elif ! qemu_may_read; then
    # QEMU runs as a user of its own there, who can't pass a home that is closed to others.
    say "the machines of this libvirtd may not look into $GAPURA_STATE_DIR: starting one of our own beside it"
    own_libvirtd
  fi
  answers "$GAPURA_HYPERVISOR" || fail "no libvirtd answers at $GAPURA_HYPERVISOR"
fi
echo "$GAPURA_HYPERVISOR" > "$GAPURA_STATE_DIR/hypervisor"

# --- the cloud ------------------------------------------------------------------------------------------------
"${gapura[@]}" init
# Root's are the machines; the passwords are for who typed this.
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ]; then
  chown "$SUDO_UID:$SUDO_GID" "$GAPURA_STATE_DIR/clouds.yaml" "$GAPURA_STATE_DIR/openrc"
fi
"${gapura[@]}" serve &
serving=$!
# The terminal sends Ctrl-C to the server as well: all that is left to do here is to wait for it.
trap ':' INT
trap 'kill -TERM "$serving" 2>/dev/null' TERM HUP
host=${GAPURA_LISTEN%:*} port=${GAPURA_LISTEN##*:}
for _ in $(seq 100); do
  kill -0 "$serving" 2> /dev/null || break
  if (exec 3<> "/dev/tcp/$host/$port") 2> /dev/null; then up=yes; break; fi
  sleep 0.1
done
if [ -n "${up:-}" ]; then
  url=${GAPURA_PUBLIC_URL:-http://$GAPURA_LISTEN}
  clouds=$GAPURA_STATE_DIR/clouds.yaml
  cat >&2 << TEXT

  Gapura is at $url, with machines on $GAPURA_HYPERVISOR
  Clouds gapura (admin), gapura-demo (a project's member), gapura-system: $clouds
  With any OpenStack client (a newest one is made by: make client):
    export OS_CLIENT_CONFIG_FILE=$clouds OS_CLOUD=gapura-demo
    openstack server create --image gapura-test --flavor m1.nano --network private --wait web
    openstack console log show web
  'make demo' in another terminal does the whole job and says how long each step took.
  'make doctor' looks for what is amiss. Ctrl-C stops Gapura; its machines go on running.

TEXT
fi
while kill -0 "$serving" 2> /dev/null; do wait "$serving" && status=0 || status=$?; done
exit "${status:-1}"
