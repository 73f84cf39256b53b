"""What operators and the scheduler have for hosts, for one that has joined: compute services, hypervisors, resource providers,
aggregates, availability zones, server groups. Each order is looked for where the servers then are.
"""

from site_of_two import ADDRESSES

SHELF = "shelf"


def launch(journey, name, *words):
    """A server that need not boot."""
    journey.order("server", "create", "--image", "gapura-test", "--flavor", "m1.nano", "--network", "private", *words, name)


def host_of(journey, name):
    return journey.becomes(name, "ACTIVE")["OS-EXT-SRV-ATTR:host"]


def delete(journey, *names):
    for name in names:
        journey.order("server", "delete", "--wait", name)


def walk(journey, site):
    services(journey, site)
    hypervisors(journey, site)
    zones(journey)
    groups(journey, site)


def service(journey):
    return journey.rows("compute", "service", "list", "--long", "--host", "host-b", "--service", "nova-compute")[0]


def services(journey, site):
    shown = ["compute", "service", "set"], ["host-b", "nova-compute"]
    journey.order(*shown[0], "--disable", "--disable-reason", "new fans", *shown[1])
    seen = service(journey)
    journey.claim("its service is disabled, with the reason", (seen["Status"], seen["Disabled Reason"]) == ("disabled", "new fans"), seen)
    _, listed = site.gapura("a", "host", "list")
    journey.claim("gapura host list says so too", "disabled (new fans)" in listed, listed)
    launch(journey, "kept-away")
    journey.claim("a disabled host gets no server", host_of(journey, "kept-away") == "host-a")
    journey.order(*shown[0], "--enable", *shown[1])
    delete(journey, "kept-away")
    journey.order(*shown[0], "--down", *shown[1])
    seen = (service(journey)["Forced Down"], journey.states()["host-b"])
    journey.claim("it is down when that is said of it", seen == (True, "down"), seen)
    journey.order(*shown[0], "--up", *shown[1])
    up = journey.until(lambda: journey.states()["host-b"] == "up", 30)
    journey.claim("and up when that is taken back", up, journey.states())


def hypervisors(journey, site):
    names = [row["Hypervisor Hostname"] for row in journey.rows("hypervisor", "list")]
    journey.claim("the hypervisors are both", names == ["host-a", "host-b"], names)
    shown = journey.rows("hypervisor", "show", "host-b")
    wanted = {"hypervisor_hostname": "host-b", "hypervisor_type": "QEMU", "service_host": "host-b",
              "host_ip": ADDRESSES["b"], "state": "up", "status": "enabled"}
    journey.claim("the joined one is shown as any other", wanted.items() <= shown.items() and shown["uptime"], shown)
    statistics = journey.rows("hypervisor", "stats", "show")
    facts = dict(line.split(":", 1) for line in site.virsh("b", "nodeinfo").splitlines() if ":" in line)
    cpus, mebibytes = int(facts["CPU(s)"]), int(facts["Memory size"].split()[0]) // 1024
    seen = (statistics["count"], statistics["vcpus"], abs(statistics["memory_mb"] - 2 * mebibytes) <= 2)
    journey.claim("statistics have what both machines' libvirt says they have", seen == (2, 2 * cpus, True), (statistics, facts))
    providers = {row["name"]: row["uuid"] for row in journey.rows("resource", "provider", "list")}
    journey.claim("both are resource providers", set(providers) == {"host-a", "host-b"}, providers)
    held = {row["resource_class"]: row["total"] for row in journey.rows("resource", "provider", "inventory", "list", providers["host-b"])}
    journey.claim("and have what their machines have", held["VCPU"] == cpus and abs(held["MEMORY_MB"] - mebibytes) <= 1, held)


def zones(journey):
    journey.order("aggregate", "create", "--zone", "east", "rack")
    journey.order("aggregate", "add", "host", "rack", "host-b")
    listed = {row["Zone Name"] for row in journey.rows("availability", "zone", "list", "--compute")}
    journey.claim("the host's zone is its aggregate's", {"nova", "east"} <= listed, listed)
    journey.claim("its service says so", service(journey)["Zone"] == "east")
    launch(journey, "eastern", "--availability-zone", "east")
    launch(journey, "usual", "--availability-zone", "nova")
    for name, host, zone in (("eastern", "host-b", "east"), ("usual", "host-a", "nova")):
        shown = journey.becomes(name, "ACTIVE")
        seen = (shown["OS-EXT-SRV-ATTR:host"], shown["OS-EXT-AZ:availability_zone"])
        journey.claim(f"{name} is where its zone is", seen == (host, zone), seen)
    said = journey.run("gapura", "aggregate", "remove", "host", "rack", "host-b", may_fail=True, show=False)
    journey.claim("a zone with servers keeps its host", said.status != 0 and "409" in said.complaint, said.complaint)
    delete(journey, "eastern", "usual")
    journey.order("aggregate", "remove", "host", "rack", "host-b")
    journey.order("aggregate", "delete", "rack")
    journey.order("aggregate", "create", SHELF)
    journey.order("aggregate", "add", "host", SHELF, "host-b")
    hosts = journey.rows("aggregate", "show", SHELF)["hosts"]
    journey.claim("an aggregate without a zone has it too", hosts == ["host-b"], hosts)


def groups(journey, site):
    for policy in ("anti-affinity", "affinity"):
        journey.order("server", "group", "create", "--policy", policy, policy)
    for number in (1, 2):
        launch(journey, f"apart-{number}", "--server-group", "anti-affinity")
    hosts = {host_of(journey, f"apart-{number}"): number for number in (1, 2)}
    journey.claim("two that keep apart are on both hosts", set(hosts) == {"host-a", "host-b"}, hosts)
    launch(journey, "apart-3", "--server-group", "anti-affinity")
    seen = journey.until(lambda: (shown := journey.server("apart-3"))["status"] == "ERROR" and shown, 60)
    journey.claim("there is no third host for a third", seen and "No valid host" in str(seen["fault"]), seen)
    mover = f"apart-{hosts.get('host-b', 2)}"
    order = ["--os-compute-api-version", "2.90", "server", "migrate", "--live-migration", "--wait", "--host", "host-a", mover]
    journey.run("gapura", *order, json_output=False, may_fail=True, show=False)
    idle = journey.until(lambda: (shown := journey.server(mover))["OS-EXT-STS:task_state"] is None and shown, 60)
    journey.claim("nor does one move to the other's host", idle and (idle["OS-EXT-SRV-ATTR:host"], idle["status"]) == ("host-b", "ACTIVE"), idle)
    running = site.machines("a")
    journey.claim("whose libvirt has never heard of it", idle and idle["id"] not in running, running)
    launch(journey, "together-1", "--availability-zone", "nova:host-b", "--server-group", "affinity")
    host_of(journey, "together-1")
    launch(journey, "together-2", "--server-group", "affinity")
    journey.claim("what belongs together follows to the joined host", host_of(journey, "together-2") == "host-b")
    delete(journey, "apart-1", "apart-2", "apart-3", "together-1", "together-2")
    journey.order("server", "group", "delete", "anti-affinity", "affinity")


def gone(journey):
    """Once it has left."""
    names = [row["Hypervisor Hostname"] for row in journey.rows("hypervisor", "list")]
    journey.claim("its hypervisor is gone", names == ["host-a"], names)
    names = [row["name"] for row in journey.rows("resource", "provider", "list")]
    journey.claim("its resource provider too", names == ["host-a"], names)
    hosts = journey.rows("aggregate", "show", SHELF)["hosts"]
    journey.claim("its aggregate is without it", hosts == [], hosts)
    journey.order("aggregate", "delete", SHELF)
