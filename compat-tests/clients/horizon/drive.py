"""Logs in to Horizon as a browser does and opens its pages; ends with `N passed, N failed`.

Horizon hides a failed call behind a page that is otherwise fine, so a page counts only when it is 200, has what belongs
on it, and carries none of the messages Horizon shows for errors.
"""

import html
import http.cookiejar
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


def open_page(path, form=None, headers=()):
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(base + path, data, {"Referer": base + path, **dict(headers)})
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


try:
    main()
except Exception as surprise:
    claim("the journey goes to its end", False, repr(surprise))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
