"""Stores and the ways into them: staging, importing, copying between stores, and the tasks that show it."""

from pictures import BARE, BYTES, MD5, WHOLE, folder_with_file, ids
from shell import Shell
from web import web

TASK = ("created_at", "expires_at", "id", "input", "message", "owner_id", "properties", "result", "status", "type", "updated_at")
TASK_ROW = ("ID", "Type", "Status", "Owner")
STORE = ("ID", "Description", "Default")


def walk(shell: Shell, cast):
    mine = cast.member("importer")
    cloud = mine["cloud"]
    methods = shell.show(cloud, "image", "import", "info", fields=("import-methods",))["import-methods"]
    shell.claim("image import info names the methods", {"glance-direct", "web-download", "copy-image"} <= set(methods), methods)
    stores(shell, cast, cloud)
    with folder_with_file() as (folder, path):
        staged = direct(shell, cast, cloud, path)
        tasks(shell, cast, mine, staged)
        copied(shell, cast, cloud, staged)
        fetched = from_the_web(shell, cast, cloud, folder)
    shell.refused(cloud, "image", "import", "--method", "glance-download", "--remote-region", "RegionTwo", "--remote-image", staged, staged,
                  saying="The 'glance-download' import method is not supported" if "glance-download" not in methods else "4")
    shell.order(cloud, "image", "delete", staged, fetched)
    cast.dismiss(mine)


def active(shell: Shell, cloud, image):
    shown = shell.until(lambda: (now := shell.run(cloud, "image", "show", image).data)["status"] == "active" and now, 30)
    shell.need(f"{image} becomes active", shown)
    shell.claim("with the bytes that were given", (shown["size"], shown["checksum"]) == (len(BYTES), MD5), shown)
    return shown


def of_image(shell: Shell, cast, image, *words):
    """An image's tasks."""
    shown = [shell.run(cast.admin, "image", "task", "show", row["ID"]).data
             for row in shell.run(cast.admin, "image", "task", "list", "--limit", "5", *words).data]
    return [task for task in shown if task["input"].get("image_id") == image]


def stores(shell: Shell, cast, cloud):
    rows = shell.rows(cloud, "image", "stores", "list", fields=STORE)
    shell.claim("image stores list has both, and which is the default", {row["ID"]: str(row["Default"]) for row in rows} ==
                {"file": "True", "other": "None"}, rows)
    shell.refused(cloud, "image", "stores", "list", "--detail", saying="403")
    rows = shell.rows(cast.admin, "image", "stores", "list", "--detail", fields=(*STORE, "Properties"))
    shell.claim("image stores list --detail has both", {row["ID"] for row in rows} == {"file", "other"}, rows)


def direct(shell: Shell, cast, cloud, path):
    image = shell.show(cloud, "image", "create", cast.name("staged"), fields=BARE, given={"status": "queued"})["id"]
    shell.refused(cloud, "image", "import", image, saying="can only be used with an image in status 'uploading'")
    shell.order(cloud, "image", "stage", "--file", path, image)
    shell.show(cloud, "image", "show", image, fields=(*BARE, "size"), given={"status": "uploading", "size": len(BYTES)})
    shell.refused(cloud, "image", "import", "--method", "copy-image", "--all-stores", image, saying="an image in status 'active'")
    shell.show(cloud, "image", "import", "--method", "glance-direct", image, fields=(*BARE, "size"), given={"id": image})
    active(shell, cloud, image)
    shell.refused(cloud, "image", "stage", "--file", path, image,
                  saying="Image stage is only possible for images in the queued state.")
    # Staged from what it reads, and watched; deleted before it is imported.
    waits = shell.run(cloud, "image", "create", cast.name("fed")).data["id"]
    with shell.feeding(path):
        shell.order(cloud, "image", "stage", waits)
    shell.order(cloud, "image", "delete", waits)
    waits = shell.run(cloud, "image", "create", cast.name("watched")).data["id"]
    shell.order(cloud, "image", "stage", "--progress", "--file", path, waits)
    shell.show(cloud, "image", "import", waits, "--store", "other", fields=(*BARE, "size"), given={"id": waits})
    shown = active(shell, cloud, waits)
    shell.claim("image import --store puts it there", shown["properties"]["stores"] == "other", shown["properties"])
    shell.order(cloud, "image", "delete", waits)
    return image


def tasks(shell: Shell, cast, mine, image):
    admin = cast.admin
    rows = shell.rows(admin, "image", "task", "list", fields=TASK_ROW)
    own = [row for row in rows if row["Owner"] == mine["project"]]
    shell.need("image task list has the imports", own and all(row["Type"] == "api_image_import" for row in own), rows)
    shown = [shell.show(admin, "image", "task", "show", row["ID"], fields=TASK, given={
        "id": row["ID"], "type": "api_image_import", "status": "success", "owner_id": mine["project"]}) for row in own]
    task = next((task for task in shown if task["input"].get("image_id") == image), None)
    shell.claim("image task show says of which image and how", task and task["input"]["import_req"]["method"]["name"] == "glance-direct", shown)
    for words in (("--status", "success"), ("--sort-key", "created_at", "--sort-dir", "asc"), ("--limit", "100")):
        rows = shell.rows(admin, "image", "task", "list", *words, fields=TASK_ROW)
        shell.claim(f"image task list {' '.join(words)} has them", {row["ID"] for row in own} <= set(ids(rows)), rows)
    for words in (("--status", "failure"), ("--type", "import"), ("--status", "pending")):
        rows = shell.rows(admin, "image", "task", "list", *words, fields=TASK_ROW)
        shell.claim(f"image task list {' '.join(words)} has none of them", not {row["ID"] for row in own} & set(ids(rows)), rows)
    every = ids(shell.rows(admin, "image", "task", "list", fields=TASK_ROW))
    after = ids(shell.rows(admin, "image", "task", "list", "--marker", every[0], fields=TASK_ROW))
    shell.claim("image task list --marker goes on after it", after == every[1:], after)
    shell.refused(mine["cloud"], "image", "task", "list", saying="403")
    shell.refused(mine["cloud"], "image", "task", "show", own[0]["ID"], saying="403")
    shell.refused(admin, "image", "task", "show", "11111111-2222-4333-8444-555555555555", saying="404")


def from_the_web(shell: Shell, cast, cloud, folder):
    with web(folder) as address:
        image = shell.run(cloud, "image", "create", cast.name("fetched")).data["id"]
        shell.refused(cloud, "image", "import", "--method", "web-download", image, saying="The '--uri' option is required")
        shell.refused(cloud, "image", "import", "--method", "web-download", "--uri", "nowhere", image, saying="is not a valid url")
        shell.refused(cloud, "image", "import", "--method", "web-download", "--uri", "file:///etc/passwd", image, saying="is not a valid url")
        # The client hears no refusal of an import; that there is no task for it shows that it was refused.
        shell.run(cloud, "image", "import", "--method", "web-download", "--uri", "ftp://127.0.0.1/image.raw", image)
        shell.claim("what is no web address is not imported", not of_image(shell, cast, image))
        shell.show(cloud, "image", "import", "--method", "web-download", "--uri", f"{address}/image.raw", image, fields=BARE, given={"id": image})
        active(shell, cloud, image)
        missing = shell.run(cloud, "image", "create", cast.name("missing")).data["id"]
        shell.run(cloud, "image", "import", "--method", "web-download", "--uri", f"{address}/no-such-file", missing)
        task = shell.until(lambda: of_image(shell, cast, missing, "--status", "failure"), 30)
        shell.claim("what can't be fetched fails its task, with a message", task and task[0]["message"], task)
        shell.show(cloud, "image", "show", missing, fields=BARE, given={"status": "queued"})
        shell.order(cloud, "image", "delete", missing)
    return image


def copied(shell: Shell, cast, cloud, image):
    """From the default store into the other one, read from there, and out of the first one again."""
    # Upstream's policy: administrators copy, owners do not.
    before = len(of_image(shell, cast, image))
    shell.run(cloud, "image", "import", "--method", "copy-image", image, "--store", "other")
    shell.claim("and are refused", len(of_image(shell, cast, image)) == before)
    shell.refused(cast.admin, "image", "import", "--method", "copy-image", image, saying="'--all-stores' options are required")
    shell.show(cast.admin, "image", "import", "--method", "copy-image", "--all-stores", image, fields=WHOLE, given={"status": "active"})

    def where():
        return set(shell.run(cloud, "image", "show", image).data["properties"]["stores"].split(","))
    shell.claim("copy-image puts it into the other store", shell.until(lambda: where() == {"file", "other"}, 30), where())
    shell.order(cloud, "image", "save", "--file", "/dev/null", "--store-preference", "other", image)
    shell.refused(cloud, "image", "delete", "--store", "file", image, saying="Failed to delete 1 of 1 images.")
    shell.order(cast.admin, "image", "delete", "--store", "file", image)
    shell.claim("image delete --store takes it out of that one", where() == {"other"}, where())
    shell.refused(cast.admin, "image", "delete", "--store", "other", image, saying="Failed to delete 1 of 1 images.")
    shell.refused(cast.admin, "image", "delete", "--store", "nowhere", image, saying="is not available on this node")
    shell.order(cloud, "image", "save", "--file", "/dev/null", image)
