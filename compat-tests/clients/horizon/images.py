"""The Images pages, as a member uses them: list, create with an upload through the browser, change, take out of use, delete;
and as an administrator the Metadata Definitions panel. Ends with `N passed, N failed`.

The pages are AngularJS: what is sent here is what its actions send. Horizon 27 has no page on which an image's members are
chosen; what it has of sharing is the visibility.
"""

import hashlib
import json
import secrets
import sys
import urllib.request

from browser import Browser, row_of, until

RUN = secrets.token_hex(3)
BYTES = b"bytes of an image that is no disk\n" * 3000


def name(noun):
    return f"horizon-{noun}-{RUN}"


def walk(horizon, clouds_file, cloud, admin):
    if not horizon.login(clouds_file, cloud):
        return
    horizon.page("Images", "/project/images")
    horizon.data("the list of images", "/api/glance/images/?paginate=true&sort_dir=asc&sort_key=name", lambda body: "gapura-test" in body)
    horizon.data("the version of the image service", "/api/glance/version/", lambda body: '"2"' in body)
    image = uploaded(horizon)
    changed(horizon, image)
    described(horizon, image)
    switched(horizon, image)
    pages(horizon)
    deleted(horizon, image)
    directly = uploaded_directly(horizon)
    deleted(horizon, directly)
    if not horizon.login(clouds_file, admin):
        return
    horizon.page("the administrator's Images", "/admin/images")
    definitions(horizon)


def shown(horizon, image):
    return horizon.fetched(f"/api/glance/images/{image}/")


def active(horizon, title, image):
    """Horizon answers before the bytes are there: it sends them on in a thread of its own."""
    seen = until(lambda: (now := shown(horizon, image)).get("status") == "active" and now, 60) or shown(horizon, image)
    horizon.claim(title, (seen["status"], seen["size"], seen["checksum"]) == ("active", len(BYTES), hashlib.md5(BYTES).hexdigest()), seen)


def uploaded(horizon):
    """The form with a file, by way of Horizon (HORIZON_IMAGES_UPLOAD_MODE = legacy, the default)."""
    given = {"name": name("image"), "description": "of a test", "source_type": "file-legacy", "disk_format": "raw", "container_format": "bare",
             "min_disk": 1, "min_ram": 64, "visibility": "shared", "protected": False, "architecture": "x86_64", "os_distro": "debian"}
    made = json.loads(multipart(horizon, "an image is created with a file", "/api/glance/images/", given, BYTES) or "{}")
    image = made.get("id", "")
    active(horizon, "the bytes that were uploaded are the image's", image)
    seen = shown(horizon, image)
    horizon.claim("it has what the form said", {"name": given["name"], "visibility": "shared", "min_disk": 1, "min_ram": 64, "disk_format": "raw",
                                                "protected": False}.items() <= seen.items(), seen)
    properties = seen["properties"]
    horizon.claim("and its metadata", {"description": "of a test", "os_distro": "debian"}.items() <= properties.items() and seen["architecture"] == "x86_64", seen)
    horizon.page("its page", f"/ngdetails/OS::Glance::Image/{image}")
    horizon.data("it is in the list", f"/api/glance/images/?paginate=true&name={given['name']}", lambda body: image in body)
    return image


def multipart(horizon, title, path, fields, data):
    """A form with a file in it, as the browser sends it: each field, all of them once more as JSON, and the file."""
    edge = secrets.token_hex(12)
    parts = [*fields.items(), ("$$originalJSON", json.dumps(fields))]
    body = b"".join(f'--{edge}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode() for field, value in parts)
    body += f'--{edge}\r\nContent-Disposition: form-data; name="data"; filename="image.raw"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()
    body += data + f"\r\n--{edge}--\r\n".encode()
    status, text, _ = horizon.open(path, body, {
        "Content-Type": f"multipart/form-data; boundary={edge}", "X-Requested-With": "XMLHttpRequest", "X-CSRFToken": horizon.cookie("csrftoken")}, "POST")
    horizon.claim(title, 200 <= status < 300, f"status {status}: {text}")
    return text if status < 300 else ""


def uploaded_directly(horizon):
    """The form with a file that goes to the image service itself, past Horizon (HORIZON_IMAGES_UPLOAD_MODE = direct)."""
    made = horizon.send("an image is created for a direct upload", "PUT", "/api/glance/images/", {
        "name": name("direct"), "source_type": "file-direct", "data": "image.raw", "disk_format": "raw", "container_format": "bare", "visibility": "private"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(method, data, headers):
        asks = urllib.request.Request(made["upload_url"], data, {"Origin": horizon.base, **headers}, method=method)
        with opener.open(asks, timeout=60) as answer:
            return answer.status, answer.headers
    # The service is another origin than the page, so a browser asks it first whether the page's script may call.
    status, headers = call("OPTIONS", None, {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,x-auth-token"})
    horizon.claim("the image service lets the page's script call", status == 200 and headers["Access-Control-Allow-Origin"] == horizon.base
                  and "PUT" in headers["Access-Control-Allow-Methods"] and "x-auth-token" in headers["Access-Control-Allow-Headers"], dict(headers))
    status, headers = call("PUT", BYTES, {"X-Auth-Token": made["token_id"], "Content-Type": "application/octet-stream"})
    horizon.claim("and takes its bytes", status == 204 and headers["Access-Control-Allow-Origin"] == horizon.base, (status, dict(headers)))
    active(horizon, "the bytes that were sent to it are the image's", made["id"])
    return made["id"]


def changed(horizon, image):
    """The form Edit Image, which sends everything it knows."""
    before = shown(horizon, image)
    fields = {"name": name("renamed"), "description": "changed", "disk_format": before["disk_format"], "container_format": before["container_format"],
              "min_disk": 2, "min_ram": 128, "protected": True, "architecture": "x86_64"}
    for visibility in ("private", "community", "shared"):
        horizon.send(f"an image is changed, and made {visibility}", "PATCH", f"/api/glance/images/{image}/", {**fields, "visibility": visibility})
        seen = shown(horizon, image)
        horizon.claim(f"it is {visibility}", seen["visibility"] == visibility, seen)
    horizon.claim("it is what the form said", {"name": name("renamed"), "min_disk": 2, "min_ram": 128, "protected": True}.items() <= seen.items(), seen)
    status, text, _ = horizon.open(f"/api/glance/images/{image}/", json.dumps({**fields, "visibility": "public"}).encode(), {
        "X-Requested-With": "XMLHttpRequest", "X-CSRFToken": horizon.cookie("csrftoken"), "Content-Type": "application/json"}, "PATCH")
    horizon.claim("a member may not make it public, and is told so", status == 403, f"status {status}: {text}")
    status, text, _ = horizon.open(f"/api/glance/images/{image}/", None, {
        "X-Requested-With": "XMLHttpRequest", "X-CSRFToken": horizon.cookie("csrftoken")}, "DELETE")
    horizon.claim("a protected image is not deleted", status == 403, f"status {status}: {text}")
    horizon.send("it is protected no more", "PATCH", f"/api/glance/images/{image}/", {**fields, "protected": False, "visibility": "shared"})


def described(horizon, image):
    """The dialogue Update Metadata, with the definitions it offers."""
    spaces = horizon.fetched("/api/glance/metadefs/namespaces/?resource_type=OS::Glance::Image")["items"]
    horizon.claim("definitions are offered for images", spaces and all("properties" in space for space in spaces), spaces)
    offered = {word for space in spaces for word in space["properties"]}
    horizon.claim("by the names that images have them under", offered, offered)
    path = f"/api/glance/images/{image}/properties/"
    horizon.send("metadata is set", "PATCH", path, {"updated": {"colour": "red", "hw_disk_bus": "virtio"}, "removed": ["os_distro"]})
    properties = horizon.fetched(path)
    horizon.claim("and shown", properties.get("colour") == "red" and "os_distro" not in properties, properties)
    horizon.send("metadata is changed and removed", "PATCH", path, {"updated": {"colour": "blue"}, "removed": ["hw_disk_bus"]})
    properties = horizon.fetched(path)
    horizon.claim("and shown so", properties.get("colour") == "blue" and "hw_disk_bus" not in properties, properties)
    horizon.send("it is hidden", "PATCH", path, {"updated": {"os_hidden": "true"}, "removed": []})
    horizon.data("a hidden image is not in the list", "/api/glance/images/?paginate=true", lambda body: image not in body)
    horizon.send("it is hidden no more", "PATCH", path, {"updated": {"os_hidden": "false"}, "removed": []})
    horizon.data("and is in the list again", "/api/glance/images/?paginate=true", lambda body: image in body)


def switched(horizon, image):
    horizon.send("an image is deactivated", "POST", f"/api/glance/images/{image}/actions/deactivate/")
    horizon.claim("it says so", shown(horizon, image)["status"] == "deactivated")
    horizon.send("and reactivated", "POST", f"/api/glance/images/{image}/actions/reactivate/")
    horizon.claim("and says so", shown(horizon, image)["status"] == "active")


def pages(horizon):
    """More images than stand on a page, one page after the other."""
    made = [horizon.send(f"image {number} is created", "PUT", "/api/glance/images/", {
        "name": name(f"page-{number:02}"), "disk_format": "raw", "container_format": "bare", "visibility": "private"})["id"] for number in range(22)]
    path = "/api/glance/images/?paginate=true&sort_dir=asc&sort_key=name&visibility=private"
    first = horizon.fetched(path)
    horizon.claim("the first page is full, and there is a next", (len(first["items"]), first["has_more_data"]) == (20, True), first)
    rest = horizon.fetched(f"{path}&marker={first['items'][-1]['id']}")
    horizon.claim("the next has the rest, and is the last", [item["id"] for item in first["items"] + rest["items"]] == made and not rest["has_more_data"], rest)
    for image in made:
        deleted(horizon, image)


def deleted(horizon, image):
    horizon.send("an image is deleted", "DELETE", f"/api/glance/images/{image}/")
    horizon.data("and is in the list no more", "/api/glance/images/?paginate=true", lambda body: image not in body)


def definitions(horizon):
    path = "/admin/metadata_defs/"
    space = name("namespace")
    horizon.page("Metadata Definitions", path, ("Import Namespace",))
    described = {"namespace": space, "display_name": f"Of {space}", "description": "of a test",
                 "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
                 "properties": {"colour": {"title": "Colour", "type": "string", "enum": ["red", "blue"]}},
                 "objects": [{"name": "disk", "properties": {"bus": {"title": "Bus", "type": "string"}}}], "tags": [{"name": "t1"}]}
    horizon.submit("a namespace is imported", f"{path}create/", source_type="raw", direct_input=json.dumps(described))
    text = horizon.page("Metadata Definitions, with it", path, (f"Of {space}",))
    horizon.claim("it has a row", row_of(text, space) == space, row_of(text, space))
    horizon.page("its page", f"{path}{space}/detail", (space, "of a test"))
    horizon.page("its contents", f"{path}{space}/detail?tab=namespace_details__contents", ("colour",))
    horizon.data("its property is offered under its prefix", "/api/glance/metadefs/namespaces/?resource_type=OS::Glance::Image",
                 lambda body: '"hw_colour"' in body and '"hw_bus"' in body)

    def seen_by(kind):
        found = horizon.fetched(f"/api/glance/metadefs/namespaces/?resource_type={kind}")["items"]
        return next((one for one in found if one["namespace"] == space), {})
    horizon.submit("it is made public and protected", f"{path}{space}/update", ticked=("public", "protected"))
    seen = seen_by("OS::Glance::Image")
    horizon.claim("and is so", (seen.get("visibility"), seen.get("protected")) == ("public", True), seen)
    horizon.page("the resource types to choose from", f"{path}{space}/resource_types/", ("OS::Glance::Image", "OS::Nova::Flavor"))
    # A box whose tick is taken away is not sent.
    horizon.submit("it is neither any more", f"{path}{space}/update", unticked=("public", "protected"))
    chosen = [{"name": "OS::Nova::Flavor", "prefix": "hw:", "selected": True}]
    horizon.submit("other resource types are chosen", f"{path}{space}/resource_types/", resource_types=json.dumps(chosen))
    seen = seen_by("OS::Nova::Flavor")
    horizon.claim("and are its", [one["name"] for one in seen.get("resource_type_associations", [])] == ["OS::Nova::Flavor"], seen)
    horizon.claim("and it is private", seen.get("visibility") == "private" and not seen_by("OS::Glance::Image"), seen)
    horizon.act("a namespace is deleted", path, "namespaces", "delete", space)
    text = horizon.page("Metadata Definitions, after it", path)
    horizon.claim("and is in the list no more", space not in text)


base, *arguments = sys.argv[1:]
Browser(base).walk(walk, *arguments)
