"""Logs in to Horizon as a browser does and opens its pages; ends with `N passed, N failed`.

Horizon hides a failed call behind a page that is otherwise fine, so a page counts only when it is 200, has what belongs
on it, and carries none of the messages Horizon shows for errors.
"""

import html
import http.cookiejar
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

base, clouds_file, cloud = sys.argv[1:4]
passed = failed = 0
jar = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), urllib.request.ProxyHandler({}))


def claim(what, holds, otherwise=""):
    global passed, failed
    if holds:
        passed += 1
        print(f"ok: {what}", flush=True)
    else:
        failed += 1
        print(f"FAILED: {what}: {str(otherwise)[:600]}", flush=True)
    return holds


def open_page(path, form=None, headers=(), body=None, method=None):
    data = urllib.parse.urlencode(form).encode() if form else body
    request = urllib.request.Request(base + path, data, {"Referer": base + path, **dict(headers)}, method=method)
    try:
        with browser.open(request, timeout=120) as answer:
            return answer.status, answer.read().decode(errors="replace"), answer.geturl()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace"), base + path


def complaints(page):
    """What Horizon shows in red: in messages of its Django pages, and in the toasts it queues for its scripts."""
    page = re.sub(r"<noscript>.*?</noscript>", "", page, flags=re.S)
    found = re.findall(r'class="[^"]*alert-(?:danger|warning)[^"]*"[^>]*>(.*?)</div>', page, re.S)
    found += re.findall(r'horizon\.alert\(\s*["\'](?:error|warning)["\']\s*,\s*(.*?)\)', page)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split()) for text in found]


def cookie(name):
    return next((entry.value for entry in jar if entry.name == name), "")


def page(title, path, holds=()):
    began = time.monotonic()
    status, text, where = open_page(path)
    wrong = complaints(text)
    missing = [word for word in holds if word not in text]
    claim(f"{title} opens without an error ({time.monotonic() - began:.1f} s)",
          status == 200 and "/auth/login" not in where and not wrong and not missing,
          f"status {status}, at {where}, complaints {wrong}, missing {missing}")


def data(title, path, check=lambda body: True):
    """A call of the parts of Horizon that run in the browser."""
    status, text, _ = open_page(path, headers={"X-Requested-With": "XMLHttpRequest"})
    claim(f"{title} is fetched", status == 200 and check(text), f"status {status}: {text}")


def order(path, body, method="POST"):
    """What the parts that run in the browser send when something is ordered. Answers the JSON that came back, if any."""
    headers = {"X-Requested-With": "XMLHttpRequest", "X-CSRFToken": cookie("csrftoken"), "Content-Type": "application/json"}
    status, text, _ = open_page(path, headers=headers, body=json.dumps(body).encode(), method=method)
    claim(f"{method} {path} is accepted", 200 <= status < 300, f"status {status}: {text}")
    return json.loads(text) if 200 <= status < 300 and text else {}


def fetched(path):
    return json.loads(open_page(path, headers={"X-Requested-With": "XMLHttpRequest"})[1])


def until(look, seconds=120):
    end = time.monotonic() + seconds
    while not look() and time.monotonic() < end:
        time.sleep(0.3)
    return look()


def press(table, action, what, where="/project/instances/"):
    """A button of a table's row, as the form around the table sends it."""
    open_page(where)
    form = {"csrfmiddlewaretoken": cookie("csrftoken"), "action": f"{table}__{action}__{what}"}
    status, text, _ = open_page(where, form)
    claim(f"{action} is pressed without an error", status == 200 and not complaints(text), f"status {status}, {complaints(text)}")


def an_instance():
    """A server as the launch dialogue orders it, seen in the table and on pages of its own, and deleted from the table."""
    def chosen(path, name):
        return next(item for item in fetched(path)["items"] if item["name"] == name)["id"]
    image = chosen("/api/glance/images/?paginate=true", "gapura-test")
    flavor, network = chosen("/api/nova/flavors/?is_public=true", "m1.nano"), chosen("/api/neutron/networks/", "private")
    made = order("/api/nova/servers/", {
        "name": "from-horizon", "source_id": image, "flavor_id": flavor, "key_name": None, "user_data": "",
        "security_groups": [], "nics": [{"net-id": network, "v4-fixed-ip": ""}], "instance_count": 1,
        "availability_zone": "nova", "config_drive": False, "disk_config": "AUTO", "block_device_mapping_v2": None,
        "description": None, "meta": {}, "scheduler_hints": {}, "admin_pass": None, "source_type": "image"})
    server = made.get("id", "")

    def shown():
        return next((item for item in fetched("/api/nova/servers/")["items"] if item["id"] == server), None)
    claim("the server that was ordered becomes ACTIVE", until(lambda: (shown() or {}).get("status") == "ACTIVE"), shown())
    page("Instances with one in it", "/project/instances/",
         ("from-horizon", server, "gapura-test", "m1.nano", "Active", "Running"))
    status, text, _ = open_page(f"/project/instances/?action=row_update&table=instances&obj_id={server}",
                                headers={"X-Requested-With": "XMLHttpRequest"})
    claim("its row is refreshed", status == 200 and "from-horizon" in text and "Unknown" not in text, f"status {status}: {text}")
    page("its page", f"/project/instances/{server}/", ("from-horizon", server, "m1.nano", "gapura-test", "private"))
    for tab, words in (("interfaces", ()), ("log", ("Instance Console Log",)), ("audit", ("create", "req-"))):
        page(f"its tab {tab}", f"/project/instances/{server}/?tab=instance_details__{tab}", words)
    page("Overview with one in it", "/project/", ("from-horizon", "Usage Summary"))
    page("Network Topology's data", "/project/network_topology/json", ("from-horizon",))
    press("instances", "delete", server)
    claim("a deleted server is gone from the list", until(lambda: shown() is None), shown())


def main():
    with open(clouds_file, encoding="utf-8") as file:
        auth = yaml.safe_load(file)["clouds"][cloud]["auth"]
    status, text, _ = open_page("/auth/login/")
    claim("the login page opens", status == 200 and "csrfmiddlewaretoken" in text, text)
    form = {"csrfmiddlewaretoken": cookie("csrftoken"), "domain": "Default", "username": auth["username"],
            "password": "wrong", "region": "default", "next": "/project/"}
    region = re.search(r'name="region"[^>]*value="([^"]*)"', text)
    if region:
        form["region"] = region[1]
    status, text, where = open_page("/auth/login/", form)
    claim("a wrong password is refused", "/auth/login" in where and "Invalid credentials" in text, complaints(text))
    form.update(csrfmiddlewaretoken=cookie("csrftoken"), password=auth["password"])
    status, text, where = open_page("/auth/login/", form)
    if not claim("the right one logs in", status == 200 and "/auth/login" not in where, f"{where} {complaints(text)}"):
        return
    page("Overview", "/project/", ("Limit Summary", "Usage Summary"))
    page("Instances", "/project/instances/", ("Launch Instance",))
    page("Images", "/project/images", ())
    data("the list of images", "/api/glance/images/?paginate=true", lambda body: "gapura-test" in body)
    page("Key Pairs", "/project/key_pairs", ())
    data("the list of key pairs", "/api/nova/keypairs/", lambda body: '"items"' in body)
    data("what the launch dialogue asks: flavors", "/api/nova/flavors/?is_public=true", lambda body: "m1.nano" in body)
    data("and networks", "/api/neutron/networks/", lambda body: "private" in body)
    page("Networks", "/project/networks/", ("private",))
    an_instance()


try:
    main()
except Exception as surprise:
    claim("the journey goes to its end", False, repr(surprise))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
