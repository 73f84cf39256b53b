"""The cache of images: queued, there, freed one by one and all at once."""

from pictures import folder_with_file, ids
from shell import Shell

ROW = ("ID", "State", "Last Accessed (UTC)", "Last Modified (UTC)", "Size", "Hits")


def walk(shell: Shell, cast):
    admin, mine = cast.admin, cast.member("cacher")
    with folder_with_file() as (_, path):
        first = shell.run(mine["cloud"], "image", "create", "--file", path, cast.name("warm")).data["id"]
        # Other bytes: hosts keep the same ones once, and free them at once.
        with open(path, "ab") as file:
            file.write(b"and more\n")
        second = shell.run(mine["cloud"], "image", "create", "--file", path, cast.name("warmer")).data["id"]
    empty = shell.run(mine["cloud"], "image", "create", cast.name("empty")).data["id"]

    def cached(*words):
        return {row["ID"]: row for row in shell.rows(admin, "cached", "image", "list", *words, fields=ROW)}

    def there(*images):
        return shell.until(lambda: all(cached().get(image, {}).get("State") == "cached" for image in images), 30)
    shell.order(admin, "cached", "image", "queue", first, cast.name("warmer"))
    shell.claim("queued images come to be cached", there(first, second), cached())
    row = cached()[first]
    shell.claim("cached image list says how large they are and what uses them", row["Size"] and row["Hits"] == 0, row)
    shell.order(admin, "cached", "image", "delete", first)
    shell.claim("cached image delete frees one", first not in cached() and second in cached(), cached())
    shell.order(admin, "cached", "image", "queue", first)
    shell.claim("and it can be queued again", there(first), cached())
    shell.order(admin, "cached", "image", "clear", "--queue")
    shell.claim("cached image clear --queue leaves what is cached", {first, second} <= set(cached()), cached())
    shell.order(admin, "cached", "image", "clear", "--cache")
    shell.claim("cached image clear --cache frees all", not {first, second} & set(cached()), cached())
    shell.order(admin, "cached", "image", "clear")
    shell.refused(admin, "cached", "image", "queue", empty, saying="Failed to queue 1 of 1 images")
    shell.refused(admin, "cached", "image", "queue", "no-such-image", saying="Failed to queue 1 of 1 images")
    shell.refused(admin, "cached", "image", "delete", "no-such-image", saying="Failed to delete 1 of 1 images.")
    for words in (("list",), ("clear",)):
        shell.refused(mine["cloud"], "cached", "image", *words, saying="403" if words == ("list",) else "Failed to clear image cache")
    shell.refused(mine["cloud"], "cached", "image", "queue", first, saying="Failed to queue 1 of 1 images")
    listed = ids(shell.run(mine["cloud"], "image", "list").data)
    shell.claim("what is freed of the cache is an image all the same", {first, second} <= set(listed), listed)
    shell.order(mine["cloud"], "image", "delete", first, second, empty)
    cast.dismiss(mine)
