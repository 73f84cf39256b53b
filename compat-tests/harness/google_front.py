"""google_front.py ACCOUNT.json PORT: Google's door to the radosgw that S3_ENDPOINT names, for `s3.sh`.

Google's own server can't be had, and its emulators lack uploads in parts. But its XML interface is S3's with another
authorization, so this takes the place of that alone: each request must carry a token that the service account in the file
has signed itself, as Google's servers demand it (RS256, its key's id, its address, a scope that includes storage, good for
an hour at most). Whoever has one is let through, signed with the keys of S3; everybody else hears 401. Objects, parts, ranges,
listings and errors are the real server's.
"""

import base64
import email.utils
import hashlib
import hmac
import http.client
import http.server
import json
import os
import subprocess
import sys
import time
import urllib.parse

ACCOUNT, PORT = json.load(open(sys.argv[1], encoding="utf-8")), int(sys.argv[2])
BEHIND = urllib.parse.urlparse(os.environ["S3_ENDPOINT"]).netloc
USER, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"].encode()
SCOPES = {f"https://www.googleapis.com/auth/{scope}" for scope in ("cloud-platform", "devstorage.read_write")}
# The queries that S3 counts to the name of what is asked for.
NAMING = {"uploads", "uploadId", "partNumber"}
# DigestInfo of SHA-256, as PKCS #1 puts it before a hash.
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


def modulus():
    words = ["openssl", "rsa", "-noout", "-modulus"]
    said = subprocess.run(words, input=ACCOUNT["private_key"].encode(), capture_output=True, check=True).stdout
    return int(said.decode().strip().removeprefix("Modulus="), 16)


MODULUS = modulus()


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def is_let_in(authorization):
    """Is it a token that our account signed, and good now?"""
    try:
        scheme, token = authorization.split(" ")
        head, claims, signature = token.split(".")
        length = (MODULUS.bit_length() + 7) // 8
        meant = b"\0\1" + b"\xff" * (length - len(SHA256) - 35) + b"\0" + SHA256
        meant += hashlib.sha256(f"{head}.{claims}".encode()).digest()
        signed = pow(int.from_bytes(decoded(signature), "big"), 65537, MODULUS).to_bytes(length, "big")
        head, claims = json.loads(decoded(head)), json.loads(decoded(claims))
        return (
            scheme == "Bearer" and signed == meant
            and head == {"typ": "JWT", "alg": "RS256", "kid": ACCOUNT["private_key_id"]}
            and claims["iss"] == claims["sub"] == ACCOUNT["client_email"]
            and SCOPES & set(claims["scope"].split())
            and claims["iat"] - 60 <= time.time() < claims["exp"] <= claims["iat"] + 3600
        )
    except (ValueError, KeyError, OverflowError):
        return False


def signed(method, path, headers):
    """The headers, signed for S3 the old way, which is short enough to write here."""
    path, _, query = path.partition("?")
    naming = sorted(pair for pair in urllib.parse.parse_qsl(query, keep_blank_values=True) if pair[0] in NAMING)
    if naming:
        path += "?" + "&".join(f"{name}={value}" if value else name for name, value in naming)
    date = email.utils.formatdate(usegmt=True)
    text = "\n".join([method, headers.get("content-md5", ""), headers.get("content-type", ""), date, path])
    digest = base64.b64encode(hmac.new(SECRET, text.encode(), hashlib.sha1).digest()).decode()
    return {**headers, "host": BEHIND, "date": date, "authorization": f"AWS {USER}:{digest}"}


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def refuse(self, status, code):
        said = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(said)
        self.close_connection = True

    def answer(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        if not is_let_in(headers.get("authorization", "")):
            self.refuse(401, "AuthenticationRequired")
            return
        behind = http.client.HTTPConnection(BEHIND, timeout=60)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in signed(self.command, self.path, headers).items():
                behind.putheader(name, value)
            behind.endheaders(body)
            answer = behind.getresponse()
        except (OSError, http.client.HTTPException):
            self.refuse(503, "ServiceUnavailable")
            return
        try:
            self.pass_on(answer)
        except (OSError, http.client.HTTPException):
            # What is cut behind the door is cut before it.
            self.close_connection = True
        finally:
            behind.close()

    def pass_on(self, answer):
        self.send_response_only(answer.status, answer.reason)
        is_chunked = answer.chunked
        for name, value in answer.getheaders():
            if name.lower() != "connection":
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        while piece := answer.read(64 << 10):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif answer.length:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Door).serve_forever()
