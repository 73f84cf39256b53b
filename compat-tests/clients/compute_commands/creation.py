"""`server create` with what it can be given, what `server show` and `server delete` then say, and what is refused."""

import base64
import tempfile

import kit
from shell import Shell


def walk(shell: Shell, cast):
    admin, mine, other = cast.admin, cast.member("maker"), cast.member("looker")
    cloud, name = mine["cloud"], cast.name("server")
    shell.run(cloud, "keypair", "create", cast.name("key"))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("#!/bin/sh\necho hello\n")
        file.flush()
        made = shell.run(cloud, "server", "create", "--image", kit.IMAGE, "--flavor", kit.FLAVOR, "--network", kit.NETWORK, "--wait",
                         "--key-name", cast.name("key"), "--user-data", file.name, "--property", "role=web", "--property", "odd=<&\"'$(x)>",
                         "--tag", "red", "--tag", "blue", "--description", "of a test", "--hostname", "chosen", "--use-config-drive",
                         "--availability-zone", "nova", "--password", "s3cret-word", name).data
    server = made["id"]
    shell.claim("server create --wait waits until it runs", made["status"] == "ACTIVE", made["status"])
    shell.claim("server create prints the fields of a server", kit.FIELDS <= set(made), kit.FIELDS - set(made))
    shown = shell.show(cloud, "server", "show", server, fields=kit.FIELDS, given={
        "name": name, "description": "of a test", "key_name": cast.name("key"), "OS-EXT-SRV-ATTR:hostname": "chosen", "config_drive": "True",
        "properties": {"role": "web", "odd": "<&\"'$(x)>"}, "tags": ["blue", "red"], "project_id": mine["project"], "user_id": mine["user"],
        "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1, "OS-EXT-AZ:availability_zone": "nova",
        "pinned_availability_zone": "nova", "OS-EXT-SRV-ATTR:host": None, "locked": False})
    shell.claim("and names image and flavor", shown["image"].startswith(kit.IMAGE) and shown["flavor"]["original_name"] == kit.FLAVOR, shown)
    shell.claim("a password given is not told back", "s3cret-word" not in str(shown))
    for_operators = shell.run(admin, "server", "show", server).data
    seen = base64.b64decode(for_operators["OS-EXT-SRV-ATTR:user_data"]).decode()
    shell.claim("the operator sees the user data", seen == "#!/bin/sh\necho hello\n", seen)
    missing = [field for field in ("host", "hypervisor_hostname", "instance_name", "reservation_id", "root_device_name")
               if not for_operators[f"OS-EXT-SRV-ATTR:{field}"]]
    shell.claim("and where it runs", not missing, missing)
    ports = shell.run(cloud, "port", "list", "--server", server).data
    shell.claim("it has one port, with the address that it shows", len(ports) == 1 and shown["addresses"][kit.NETWORK][0] in str(ports), ports)
    shell.refused(other["cloud"], "server", "show", server, saying="No Server found")
    shell.refused(other["cloud"], "server", "delete", server, saying="No Server found")
    several(shell, cast, mine)
    connected(shell, cast, cloud)
    refusals(shell, cast, cloud)
    shell.order(cloud, "server", "delete", "--force", "--wait", server)
    shell.refused(cloud, "server", "show", server, saying="No Server found")
    shell.refused(cloud, "server", "delete", server, saying="No Server found")
    shell.claim("its port is gone with it", shell.run(cloud, "port", "list").data == [])
    shell.order(cloud, "keypair", "delete", cast.name("key"))
    cast.dismiss(mine, other)


def several(shell: Shell, cast, mine):
    """Several at once; deleted by several names."""
    cloud, name = mine["cloud"], cast.name("several")
    shell.run(cloud, "server", "create", "--image", kit.IMAGE, "--flavor", kit.FLAVOR, "--nic", "none", "--min", "2", "--max", "3", "--wait", name)
    rows = [row for row in shell.run(cloud, "server", "list", "--name", name).data]
    shell.claim("--min and --max make several with numbers", sorted(row["Name"] for row in rows) == [f"{name}-{at}" for at in (1, 2, 3)], rows)
    shell.claim("--nic none connects them to nothing", not any(row["Networks"] for row in rows), rows)
    kit.delete(shell, cast, cloud, *[row["ID"] for row in rows])


def connected(shell: Shell, cast, cloud):
    port = shell.run(cloud, "port", "create", "--network", kit.NETWORK, cast.name("port")).data
    address = port["fixed_ips"][0]["ip_address"]
    by_port = kit.create(shell, cloud, cast.name("by-port"), "--port", cast.name("port"))
    shell.claim("--port takes the port with its address", kit.show(shell, cloud, by_port)["addresses"] == {kit.NETWORK: [address]})
    kit.delete(shell, cast, cloud, by_port)
    kept = shell.run(cloud, "port", "show", port["id"]).data
    shell.claim("the port stays, and belongs to nobody", not kept["device_id"], kept)
    shell.run(cloud, "port", "delete", port["id"], json_output=False)
    # Who may choose an address is the network service's to say: its operators, on a network that isn't one's own.
    wish = ("--nic", f"net-id={kit.NETWORK},v4-fixed-ip={address}")
    base = ("server", "create", "--image", kit.IMAGE, "--flavor", kit.FLAVOR, *wish)
    shell.refused(cloud, *base, cast.name("chooser"), saying="create_port:fixed_ips:ip_address")
    fixed = kit.create(shell, cast.admin, cast.name("fixed"), *wish)
    shell.claim("--nic takes the address that is asked for", kit.show(shell, cast.admin, fixed)["addresses"] == {kit.NETWORK: [address]})
    shell.refused(cast.admin, *base, cast.name("taken"), saying=f"Fixed IP address {address} is already in use")
    kit.delete(shell, cast, cast.admin, fixed)
    alone = kit.create(shell, cloud, cast.name("alone"), "--no-network")
    shell.claim("--no-network connects it to nothing", kit.show(shell, cloud, alone)["addresses"] == {})
    kit.delete(shell, cast, cloud, alone)


def refusals(shell: Shell, cast, cloud):
    """What a user may get wrong, each with the sentence that says it; nothing of it leaves a server."""
    name = cast.name("wrong")
    right = {"--image": kit.IMAGE, "--flavor": kit.FLAVOR, "--network": kit.NETWORK}
    before = len(shell.run(cloud, "server", "list").data)

    def refused(saying, *more, **other):
        words = {**right, **{f"--{key}": value for key, value in other.items()}}
        shell.refused(cloud, "server", "create", *[word for pair in words.items() for word in pair], *more, name, saying=saying)
    refused("No Image found for no-such-image", image="no-such-image")
    refused("No Flavor found for no-such-flavor", flavor="no-such-flavor")
    refused("No Network found for no-such-network", network="no-such-network")
    refused("Invalid key_name provided", "--key-name", "no-such-key")
    refused("The requested availability zone is not available", "--availability-zone", "mars")
    refused("servers:create:requested_destination", "--host", "somewhere")
    refused("not built", "--security-group", "no-such-group")
    refused("Quota exceeded for", "--min", "11", "--max", "11")
    refused("Invalid input for field/attribute", "--hostname", "under_score")
    refused("is too long", "--property", f"key={'x' * 256}")
    refused("is too long", "--tag", "x" * 61)
    with tempfile.NamedTemporaryFile("wb") as file:
        file.write(b"x" * 65536)
        file.flush()
        refused("is too long", "--user-data", file.name)
    shell.claim("what was refused left no server", len(shell.run(cloud, "server", "list").data) == before)
    words = [word for pair in right.items() for word in pair]
    made = shell.run(cloud, "server", "create", *words, "--trusted-image-cert", "0b5d2c72-12cc-4ba6-a8d7-3ff5cc1d8cb8", name).data["id"]
    kit.becomes(shell, cloud, made, "ERROR")
    fault = str(kit.show(shell, cloud, made).get("fault"))
    shell.claim("a server that trusts certificates says that signatures are not verified", "signature" in fault.lower(), fault)
    shell.order(cloud, "server", "delete", made)
