"""What the chapters share: fields of an image as the client prints them, and bytes to make one of."""

import contextlib
import hashlib
import os
import tempfile

BARE = ("container_format", "created_at", "disk_format", "file", "id", "min_disk", "min_ram", "name", "owner", "properties",
        "protected", "schema", "status", "tags", "updated_at", "visibility")
#: What it has besides once its bytes are there.
WHOLE = (*BARE, "checksum", "size", "virtual_size")
ROW = ("ID", "Name", "Status")
LONG_ROW = ("ID", "Name", "Disk Format", "Container Format", "Size", "Checksum", "Status", "Visibility", "Protected", "Project",
            "Hash Algorithm", "Hash Value", "Tags")
#: Text, so that what a command prints of it can be compared.
BYTES = b"bytes of an image that is no disk\n" * 300
MD5, SHA512 = hashlib.md5(BYTES).hexdigest(), hashlib.sha512(BYTES).hexdigest()


@contextlib.contextmanager
def folder_with_file():
    """A folder of its own, and the path of a file in it that holds the bytes."""
    with tempfile.TemporaryDirectory(prefix="gapura-image-commands.") as folder:
        path = os.path.join(folder, "image.raw")
        with open(path, "wb") as file:
            file.write(BYTES)
        yield folder, path


def ids(rows):
    return [row["ID"] for row in rows]
