"""An image's life: created in every way there is, shown, saved, changed, deleted."""

import os

from pictures import BARE, BYTES, MD5, SHA512, WHOLE, folder_with_file
from shell import Shell


def walk(shell: Shell, cast):
    mine = cast.member("painter")
    with folder_with_file() as (folder, path):
        created(shell, cast, mine, path)
        image = shell.show(mine["cloud"], "image", "create", "--file", path, "--property", "a=b", "--property", "kept=1", "--tag", "t1",
                           "--tag", "t2", cast.name("image"), fields=WHOLE, given={"status": "active", "size": len(BYTES)})
        saved(shell, mine["cloud"], image, folder)
    changed(shell, cast, mine, image)
    unset(shell, mine["cloud"], image)
    switched(shell, cast, mine, image)
    given_away(shell, cast, mine, image)
    shell.order(cast.admin, "image", "delete", image["id"])
    shell.refused(mine["cloud"], "image", "show", image["id"], saying=f"No Image found for {image['id']}")
    # The client says of every image that isn't there what it says of a store.
    shell.refused(mine["cloud"], "image", "delete", image["id"], saying="Multi Backend support not enabled.")
    shell.refused(mine["cloud"], "image", "create", "--id", image["id"], cast.name("again"), saying="409")
    cast.dismiss(mine)


def created(shell: Shell, cast, mine, path):
    cloud, name = mine["cloud"], cast.name("made")
    empty = shell.show(cloud, "image", "create", name, fields=BARE, given={
        "name": name, "status": "queued", "visibility": "shared", "container_format": "bare", "disk_format": "raw", "min_disk": 0,
        "min_ram": 0, "owner": mine["project"], "protected": False, "tags": [], "schema": "/v2/schemas/image"})
    shell.claim("an image's file is below it", empty["file"] == f"/v2/images/{empty['id']}/file", empty)
    shell.claim("a new image has no properties but the client's own", set(empty["properties"]) == {
        "os_hidden", "owner_specified.openstack.md5", "owner_specified.openstack.sha256", "owner_specified.openstack.object"}, empty)
    shell.claim("there is nothing to save of it", not shell.run(cloud, "image", "save", empty["id"], json_output=False).text)

    chosen = "11111111-2222-4333-8444-" + cast.run.rjust(12, "0")
    whole = shell.show(cloud, "image", "create", "--id", chosen, "--file", path, "--disk-format", "raw", "--container-format", "bare",
                       "--private", "--min-disk", "2", "--min-ram", "64", "--property", "a=b", "--tag", "red", "--tag", "blue", "--protected",
                       f"{name}-2", fields=WHOLE, given={
                           "id": chosen, "status": "active", "visibility": "private", "size": len(BYTES), "virtual_size": len(BYTES),
                           "checksum": MD5, "min_disk": 2, "min_ram": 64, "protected": True})
    properties = whole["properties"]
    shell.claim("it has the properties and the hash", (properties.get("a"), properties.get("os_hash_algo"), properties.get("os_hash_value"))
                == ("b", "sha512", SHA512), properties)
    shell.claim("it has the tags", sorted(whole["tags"]) == ["blue", "red"], whole["tags"])
    shell.refused(cloud, "image", "create", "--id", chosen, name, saying="409")
    shell.refused(cloud, "image", "delete", chosen, saying="Failed to delete 1 of 1 images.")
    shell.order(cloud, "image", "set", "--unprotected", chosen)

    with shell.feeding(path):
        fed = shell.show(cloud, "image", "create", "--community", f"{name}-3", fields=WHOLE,
                         given={"status": "active", "size": len(BYTES), "visibility": "community", "checksum": MD5})
    # The bar itself is only drawn on a terminal.
    shell.show(cloud, "image", "create", "--file", path, "--progress", f"{name}-4", fields=WHOLE, given={"status": "active", "checksum": MD5})
    # The client's own upload by import waits for no end, so it is asked for until it has come.
    imported = shell.run(cloud, "image", "create", "--file", path, "--import", f"{name}-5").data
    there = shell.until(lambda: shell.run(cloud, "image", "show", imported["id"]).data["status"] == "active", 30)
    shell.claim("an image created by import becomes active", there)
    shell.refused(cloud, "image", "create", "--public", name, saying="403")
    shell.refused(cloud, "image", "create", "--project", "admin", name, saying="403")
    public = shell.show(cast.admin, "image", "create", "--public", "--project", mine["project"], f"{name}-6", fields=BARE,
                        given={"visibility": "public", "owner": mine["project"]})
    # One of the same name as another can only be told by its id.
    shell.show(cloud, "image", "create", name, fields=BARE)
    shell.refused(cloud, "image", "show", name, saying="More than one Image exists with the name")
    doubles = [row["ID"] for row in shell.run(cloud, "image", "list", "--name", name).data]
    shell.order(cloud, "image", "delete", *doubles, chosen, fed["id"], f"{name}-4", f"{name}-5")
    shell.order(cast.admin, "image", "delete", public["id"])


def saved(shell: Shell, cloud, image, folder):
    target = os.path.join(folder, "saved")
    shell.order(cloud, "image", "save", "--file", target, image["name"])
    with open(target, "rb") as file:
        shell.claim("image save writes the bytes that came", file.read() == BYTES)
    shell.order(cloud, "image", "save", "--file", target, "--chunk-size", "4096", image["id"])
    with open(target, "rb") as file:
        shell.claim("and so in larger pieces", file.read() == BYTES)
    printed = shell.run(cloud, "image", "save", image["id"], json_output=False)
    shell.claim("without a file it prints them", printed.text.encode() == BYTES, printed.text[:100])
    shell.refused(cloud, "image", "save", "--file", target, "no-such-image", saying="No Image found for no-such-image")


def changed(shell: Shell, cast, mine, image):
    cloud, name = mine["cloud"], cast.name("renamed")
    shell.order(cloud, "image", "set", "--name", name, "--min-disk", "3", "--min-ram", "128", "--private", "--protected",
                "--property", "a=c", "--property", "hw_disk_bus=virtio", "--architecture", "x86_64", "--os-distro", "debian", "--os-version", "12",
                "--instance-id", image["id"], "--kernel-id", image["id"], "--ramdisk-id", image["id"], "--tag", "t3", image["id"])
    shown = shell.show(cloud, "image", "show", name, fields=WHOLE, given={
        "id": image["id"], "name": name, "min_disk": 3, "min_ram": 128, "visibility": "private", "protected": True, "size": len(BYTES)})
    expected = {"a": "c", "kept": "1", "hw_disk_bus": "virtio", "architecture": "x86_64", "os_distro": "debian", "os_version": "12",
                "instance_id": image["id"], "kernel_id": image["id"], "ramdisk_id": image["id"]}
    properties = shown["properties"]
    shell.claim("image set sets properties and leaves the others", expected.items() <= properties.items(), properties)
    shell.claim("image set adds tags to those there are", sorted(shown["tags"]) == ["t1", "t2", "t3"], shown["tags"])
    readable = shell.run(cloud, "image", "show", "--human-readable", image["id"]).data
    shell.claim("image show --human-readable says the size in words", readable["size"] == "10.2K", readable["size"])
    shell.refused(cloud, "image", "delete", image["id"], saying="Failed to delete 1 of 1 images.")
    shell.order(cloud, "image", "set", "--unprotected", "--shared", image["id"])
    shell.show(cloud, "image", "show", image["id"], fields=WHOLE, given={"protected": False, "visibility": "shared"})
    shell.order(cloud, "image", "set", "--community", image["id"])
    shell.show(cloud, "image", "show", image["id"], fields=WHOLE, given={"visibility": "community"})
    shell.refused(cloud, "image", "set", "--public", image["id"], saying="403")
    shell.refused(cloud, "image", "set", "--disk-format", "qcow2", image["id"], saying="403")
    shell.refused(cloud, "image", "set", "--container-format", "ovf", image["id"], saying="403")
    shell.refused(cloud, "image", "set", "--property", "checksum=1", image["id"], saying="403")
    queued = shell.run(cloud, "image", "create", cast.name("queued")).data["id"]
    shell.order(cloud, "image", "set", "--disk-format", "qcow2", "--container-format", "ovf", queued)
    shell.show(cloud, "image", "show", queued, fields=BARE, given={"disk_format": "qcow2", "container_format": "ovf"})
    shell.order(cloud, "image", "delete", queued)


def unset(shell: Shell, cloud, image):
    shell.order(cloud, "image", "unset", "--tag", "t1", "--tag", "t3", "--property", "kept", "--property", "kernel_id",
                "--property", "hw_disk_bus", image["id"])
    shown = shell.run(cloud, "image", "show", image["id"]).data
    properties = shown["properties"]
    shell.claim("image unset takes properties away", not {"kept", "kernel_id", "hw_disk_bus"} & set(properties) and properties["a"] == "c", properties)
    shell.claim("image unset takes tags away", shown["tags"] == ["t2"], shown["tags"])
    shell.refused(cloud, "image", "unset", "--tag", "none", image["id"], saying="Failed to unset 1 of 1 tags.")
    shell.refused(cloud, "image", "unset", "--property", "none", image["id"], saying="Failed to unset 1 of 1 properties.")
    shell.refused(cloud, "image", "unset", "--tag", "none", "--property", "none", image["id"], saying="Failed to unset 1 of 1 tags,")


def switched(shell: Shell, cast, mine, image):
    """Hidden, deactivated, and back."""
    cloud, admin = mine["cloud"], cast.admin

    def listed(*words):
        return image["id"] in {row["ID"] for row in shell.run(cloud, "image", "list", *words).data}
    shell.order(cloud, "image", "set", "--hidden", image["id"])
    shown = shell.run(cloud, "image", "show", image["id"]).data
    shell.claim("a hidden image says so", shown["properties"]["os_hidden"] is True, shown)
    shell.claim("and is listed only where hidden ones are asked for", not listed() and listed("--hidden"))
    shell.order(cloud, "image", "set", "--unhidden", image["id"])
    shell.claim("an image that is hidden no more is listed", listed() and not listed("--hidden"))
    shell.order(cloud, "image", "set", "--deactivate", image["id"])
    shell.show(cloud, "image", "show", image["id"], fields=WHOLE, given={"status": "deactivated"})
    shell.refused(cloud, "image", "save", "--file", os.devnull, image["id"], saying="Unable to download image")
    # Administrators still read it, and so see what they judge.
    shell.order(admin, "image", "save", "--file", os.devnull, image["id"])
    shell.order(cloud, "image", "set", "--activate", image["id"])
    shell.show(cloud, "image", "show", image["id"], fields=WHOLE, given={"status": "active"})
    shell.order(cloud, "image", "save", "--file", os.devnull, image["id"])


def given_away(shell: Shell, cast, mine, image):
    other = cast.member("heir")
    shell.order(mine["cloud"], "image", "set", "--private", image["id"])
    shell.refused(mine["cloud"], "image", "set", "--project", other["project"], image["id"], saying="403")
    shell.refused(other["cloud"], "image", "show", image["id"], saying="No Image found")
    shell.order(cast.admin, "image", "set", "--project", other["project"], image["id"])
    shell.show(other["cloud"], "image", "show", image["id"], fields=WHOLE, given={"owner": other["project"], "visibility": "private"})
    shell.refused(mine["cloud"], "image", "show", image["id"], saying="No Image found")
    shell.order(cast.admin, "image", "set", "--public", image["id"])
    shell.show(mine["cloud"], "image", "show", image["id"], fields=WHOLE, given={"visibility": "public"})
    shell.refused(mine["cloud"], "image", "set", "--name", "stolen", image["id"], saying="403")
    shell.refused(mine["cloud"], "image", "delete", image["id"], saying="Failed to delete 1 of 1 images.")
    shell.order(cast.admin, "image", "set", "--private", "--project", mine["project"], image["id"])
    cast.dismiss(other)
