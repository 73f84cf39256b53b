"""A browser without a window: cookies, forms filled in as they were served, and the messages Horizon shows.

Horizon hides a failed call behind a page that is otherwise fine, so a page counts only when it is 200, has what belongs
on it, and carries none of the messages Horizon shows for errors.
"""

import html
import html.parser
import http.cookiejar
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml


class Browser:
    def __init__(self, base):
        self.base = base
        self.passed = self.failed = 0
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar), urllib.request.ProxyHandler({}))

    def claim(self, what, holds, otherwise=""):
        if holds:
            self.passed += 1
            print(f"ok: {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED: {what}: {str(otherwise)[:600]}", flush=True)
        return holds

    def open(self, path, form=None, headers=(), method=None):
        """Status, text and last address of a page; a `form` is posted, as fields or as bytes."""
        data = form if isinstance(form, (bytes, type(None))) else urllib.parse.urlencode(form, doseq=True).encode()
        request = urllib.request.Request(self.base + path, data, {"Referer": self.base + path, **dict(headers)}, method=method)
        try:
            with self.opener.open(request, timeout=120) as answer:
                return answer.status, answer.read().decode(errors="replace"), answer.geturl()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace"), self.base + path

    def cookie(self, name):
        return next((entry.value for entry in self.jar if entry.name == name), "")

    def page(self, title, path, holds=()):
        began = time.monotonic()
        status, text, where = self.open(path)
        wrong = complaints(text)
        missing = [word for word in holds if word not in text]
        self.claim(f"{title} opens without an error ({time.monotonic() - began:.1f} s)",
                   status == 200 and "/auth/login" not in where and not wrong and not missing,
                   f"status {status}, at {where}, complaints {wrong}, missing {missing}")
        return text

    def data(self, title, path, check=lambda body: True):
        """A call of the parts of Horizon that run in the browser."""
        status, text, _ = self.open(path, headers={"X-Requested-With": "XMLHttpRequest"})
        self.claim(f"{title} is fetched", status == 200 and check(text), f"status {status}: {text}")

    def fetched(self, path):
        return json.loads(self.open(path, headers={"X-Requested-With": "XMLHttpRequest"})[1])

    def send(self, title, method, path, body=None):
        """What those parts send; returns the answer's JSON."""
        status, text, _ = self.open(path, json.dumps(body).encode() if body is not None else None, method=method, headers={
            "X-Requested-With": "XMLHttpRequest", "X-CSRFToken": self.cookie("csrftoken"), "Content-Type": "application/json"})
        self.claim(title, 200 <= status < 300, f"status {status}: {text}")
        return json.loads(text) if text.strip() and status < 300 else None

    def submit(self, title, path, shows=None, ticked=(), unticked=(), **fields):
        """Opens a form, changes the named fields, ticks boxes or takes their ticks away, posts the rest as it was served; a
        success message must follow, or a page that `shows` something."""
        status, text, _ = self.open(path)
        form = next((form for form in forms(text) if set(fields) <= set(form)), None)
        if not self.claim(f"{title}: its form opens with {', '.join(fields)}", status == 200 and form is not None,
                          f"status {status}, complaints {complaints(text)}, forms {[sorted(form) for form in forms(text)]}"):
            return ""
        form = {field: value for field, value in form.items() if field not in unticked}
        status, text, where = self.open(path, {**form, **fields, **dict.fromkeys(ticked, "on")})
        errors = [" ".join(re.sub(r"<[^>]+>", " ", found).split()) for found in
                  re.findall(r'<(?:span|ul|div)[^>]*class="[^"]*(?:help-block|errorlist|alert-danger)[^"]*"[^>]*>(.*?)</(?:span|ul|div)>', text, re.S)]
        succeeds = shows in text if shows else successes(text) and not complaints(text)
        self.claim(title, status == 200 and succeeds, f"status {status} at {where}: complaints {complaints(text)}, errors {errors[:4]}")
        return text

    def act(self, title, path, table, action, row, confirms=True):
        """A button of a table's row, as the form around the table sends it. What goes on afterwards confirms nothing yet."""
        status, text, _ = self.open(path, {"csrfmiddlewaretoken": self.cookie("csrftoken"), "action": f"{table}__{action}__{row}"})
        self.claim(title, status == 200 and (successes(text) or not confirms) and not complaints(text),
                   f"status {status}, complaints {complaints(text)}")
        return text

    def login(self, clouds_file, cloud):
        """Logs in as the user of a clouds file; first with a wrong password."""
        with open(clouds_file, encoding="utf-8") as file:
            auth = yaml.safe_load(file)["clouds"][cloud]["auth"]
        status, text, _ = self.open("/auth/login/")
        self.claim("the login page opens", status == 200 and "csrfmiddlewaretoken" in text, text)
        form = {"csrfmiddlewaretoken": self.cookie("csrftoken"), "domain": "Default", "username": auth["username"],
                "password": "wrong", "region": "default", "next": "/project/"}
        region = re.search(r'name="region"[^>]*value="([^"]*)"', text)
        if region:
            form["region"] = region[1]
        status, text, where = self.open("/auth/login/", form)
        self.claim("a wrong password is refused", "/auth/login" in where and "Invalid credentials" in text, complaints(text))
        form.update(csrfmiddlewaretoken=self.cookie("csrftoken"), password=auth["password"])
        status, text, where = self.open("/auth/login/", form)
        return self.claim("the right one logs in", status == 200 and "/auth/login" not in where, f"{where} {complaints(text)}")

    def walk(self, journey, *arguments):
        """Walks a journey to its end and ends the process with the count."""
        try:
            journey(self, *arguments)
        except Exception as surprise:
            self.claim("the journey goes to its end", False, repr(surprise))
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


def until(look, seconds=120):
    end = time.monotonic() + seconds
    while not look() and time.monotonic() < end:
        time.sleep(0.3)
    return look()


def complaints(page):
    """What Horizon shows in red: in messages of its Django pages, and in the toasts it queues for its scripts."""
    page = re.sub(r"<noscript>.*?</noscript>", "", page, flags=re.S)
    found = re.findall(r'class="[^"]*alert-(?:danger|warning)[^"]*"[^>]*>(.*?)</div>', page, re.S)
    found += re.findall(r'horizon\.alert\(\s*["\'](?:error|warning)["\']\s*,\s*(.*?)\)', page)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split()) for text in found]


def successes(page):
    """What it shows in green."""
    return re.findall(r'class="[^"]*alert-success[^"]*"[^>]*>(.*?)</div>', page, re.S)


def row_of(page, name):
    """The id behind the row of a table that shows a name."""
    for row in re.findall(r"<tr\b[^>]*>.*?</tr>", page, re.S):
        head = row[:row.index(">")]
        found = re.search(r'data-object-id="([^"]+)"', head)
        if found and name in html.unescape(row):
            return found[1]
    return ""


class _Forms(html.parser.HTMLParser):
    """The fields of each form with the values they were served with, as a browser would post them."""

    def __init__(self):
        super().__init__()
        self.found = []
        self._select = self._area = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name = given.get("name")
        if tag == "form":
            self.found.append({})
        elif not self.found:
            return
        elif tag == "input" and name:
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio") and "checked" not in given:
                return
            if kind not in ("submit", "button", "file"):
                self.found[-1][name] = given.get("value", "on" if kind == "checkbox" else "")
        elif tag == "select" and name:
            self._select, self.found[-1][name] = name, [] if "multiple" in given else ""
        elif tag == "option" and self._select:
            held = self.found[-1][self._select]
            if isinstance(held, list):
                if "selected" in given:
                    held.append(given.get("value", ""))
            elif "selected" in given:
                self.found[-1][self._select] = given.get("value", "")
        elif tag == "textarea" and name:
            self._area, self.found[-1][name] = name, ""

    def handle_data(self, data):
        if self._area:
            self.found[-1][self._area] += data

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None


def forms(page):
    parser = _Forms()
    parser.feed(page)
    return parser.found
