"""`image list` with each of its filters, orders and pages: exactly the images that are meant, among others."""

from pictures import LONG_ROW, MD5, ROW, SHA512, folder_with_file, ids
from shell import Shell


def walk(shell: Shell, cast):
    mine, other = cast.member("lister"), cast.member("neighbour")
    cloud, admin = mine["cloud"], cast.admin
    made = {}

    def make(by, noun, *words):
        made[noun] = shell.run(by, "image", "create", *words, cast.name(noun)).data["id"]
    with folder_with_file() as (_, path):
        make(cloud, "private", "--private", "--tag", "red", "--tag", "blue", "--property", "colour=red", "--file", path)
    make(cloud, "shared", "--shared", "--tag", "red", "--property", "colour=blue")
    make(cloud, "community", "--community")
    make(cloud, "hidden")
    shell.order(cloud, "image", "set", "--hidden", made["hidden"])
    make(admin, "public", "--public")
    make(other["cloud"], "given", "--tag", "red")
    make(other["cloud"], "theirs", "--private")
    make(other["cloud"], "everybodys", "--community")
    shell.run(other["cloud"], "image", "add", "project", made["given"], mine["project"])

    def listed(*words, by=cloud):
        """Which of the images made here a list has, by what they were called above."""
        found = ids(shell.run(by, "image", "list", *words).data)
        return {noun for noun, image in made.items() if image in found}

    def has(*words, of, by=cloud):
        seen = listed(*words, by=by)
        shell.claim(f"image list {' '.join(words)} has {', '.join(of) or 'none'}", seen == set(of), seen)
    rows = shell.rows(cloud, "image", "list", fields=ROW)
    shell.claim("image list says names and states", {"ID": made["private"], "Name": cast.name("private"), "Status": "active"} in rows, rows)
    rows = shell.rows(cloud, "image", "list", "--long", "--name", cast.name("private"), fields=LONG_ROW)
    shell.claim("image list --long says the rest", len(rows) == 1 and {
        "ID": made["private"], "Checksum": MD5, "Hash Algorithm": "sha512", "Hash Value": SHA512, "Visibility": "private",
        "Protected": False, "Project": mine["project"], "Disk Format": "raw", "Container Format": "bare"}.items() <= rows[0].items(), rows)
    shell.claim("and the tags", rows and sorted(rows[0]["Tags"]) == ["blue", "red"], rows)

    has(of=("private", "shared", "community", "public"))
    has("--private", of=("private",))
    has("--shared", of=("shared",))
    has("--community", of=("community", "everybodys"))
    has("--public", of=("public",))
    has("--all", of=("private", "shared", "community", "public", "everybodys"))
    has("--hidden", of=("hidden",))
    has("--status", "active", of=("private",))
    has("--status", "queued", of=("shared", "community", "public"))
    has("--tag", "red", of=("private", "shared"))
    has("--tag", "red", "--tag", "blue", of=("private",))
    has("--property", "colour=blue", of=("shared",))
    has("--name", cast.name("shared"), of=("shared",))
    has("--name", "no-such-name", of=())
    has("--member-status", "pending", "--shared", of=("shared", "given"))
    has("--member-status", "all", "--shared", of=("shared", "given"))
    has("--member-status", "rejected", "--shared", of=("shared",))
    shell.order(cloud, "image", "set", "--accept", made["given"])
    has("--shared", of=("shared", "given"))
    has("--member-status", "accepted", "--shared", of=("shared", "given"))
    has("--member-status", "pending", "--shared", of=("shared",))
    has("--tag", "red", "--shared", of=("shared", "given"))
    has("--project", mine["project"], by=admin, of=("private", "shared"))
    has("--project", mine["project"], "--all", by=admin, of=("private", "shared", "community"))
    has("--project", other["project"], "--private", by=admin, of=("theirs",))
    ordered(shell, cast, cloud, made)
    shell.refused(cloud, "image", "list", "--marker", "no-such-image", saying="No Image found")
    for cloud_of, nouns in ((cloud, ("private", "shared", "community", "hidden")), (admin, ("public",)),
                            (other["cloud"], ("given", "theirs", "everybodys"))):
        shell.order(cloud_of, "image", "delete", *[made[noun] for noun in nouns])
    cast.dismiss(mine, other)


def ordered(shell: Shell, cast, cloud, made):
    mine = {made[noun] for noun in ("private", "shared", "community")}

    def names(*words):
        return [row["Name"] for row in shell.run(cloud, "image", "list", *words).data if row["ID"] in mine]
    rising = sorted(cast.name(noun) for noun in ("private", "shared", "community"))
    shell.claim("image list is in the order of names", names() == rising, names())
    shell.claim("image list --sort name:desc turns it about", names("--sort", "name:desc") == rising[::-1])
    by_state = names("--sort", "status:asc,name:desc")
    shell.claim("image list --sort takes several keys", by_state == [cast.name("private"), *[name for name in rising[::-1] if name != cast.name("private")]],
                by_state)
    every = ids(shell.run(cloud, "image", "list", "--sort", "created_at:desc").data)
    first = ids(shell.run(cloud, "image", "list", "--limit", "2").data)
    shell.claim("image list --limit ends the list", len(first) == 2 and set(first) <= set(every), first)
    # The server's order, newest first, is what a marker stands in, whatever the client does to a page afterwards. It is finer
    # than the seconds that are shown, and sorting by these leaves it as it came.
    seen, marker = list(first), max(first, key=every.index)
    while True:
        page = ids(shell.run(cloud, "image", "list", "--limit", "2", "--marker", marker).data)
        seen += page
        if len(page) < 2:
            break
        marker = max(page, key=every.index)
    shell.claim("pages after markers have every image once", sorted(seen) == sorted(every), (seen, every))
    some = ids(shell.run(cloud, "image", "list", "--max-items", "3").data)
    shell.claim("image list --max-items ends it too", len(some) == 3, some)
