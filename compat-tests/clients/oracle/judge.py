"""What a pip-installed Nova says of an answer: its own response schemas, success codes, error codes and version gates.

Nova's controllers carry their schemas as attributes, so nothing of Nova runs here: no database, no services.
"""
import inspect, json, re, sys
import nova.conf
from nova import config as _c
nova.conf.CONF([], project='nova', default_config_files=[])
import unittest.mock
import nova.rpc
nova.rpc.TRANSPORT = unittest.mock.MagicMock()      # controllers build RPC clients in __init__; nothing is ever sent
nova.rpc.get_client = nova.rpc.get_notifier = lambda *a, **k: unittest.mock.MagicMock()
from nova.api.openstack import compute
from nova.api.openstack.api_version_request import APIVersionRequest, max_api_version
from nova.api.validation import validators
from nova import exception


def _closure(func, want):
    """collect expected_errors / success codes from the decorator chain."""
    codes, f = [], func
    while f is not None:
        cv = inspect.getclosurevars(f).nonlocals if inspect.isfunction(f) or inspect.ismethod(f) else {}
        if want in cv:
            codes.append((cv[want], cv.get('min_version'), cv.get('max_version')))
        f = getattr(f, '__wrapped__', None)
    return codes


def _codes(func):
    w = getattr(func, 'wsgi_codes', None)
    g = lambda v: v if v is None or isinstance(v, str) else (None if v.is_null() else v.get_string())
    return [(c, g(a), g(b)) for c, a, b in (w._codes if w else [])]


class NovaOracle:
    def __init__(self):
        self.routes = []            # (regex, template, method, {action|None: func})
        router = compute.APIRouterV21()
        for route in router.map.matchlist:
            if 'controller' not in route.defaults:
                continue
            ctl = route.defaults['controller']
            tmpl = ''.join('{%s}' % p['name'] if isinstance(p, dict) else p for p in route.routelist)
            if tmpl.startswith('/{project_id}'):
                continue            # the legacy project-id-in-path twin of the same route
            method = (route.conditions or {}).get('method', ['GET'])
            method = method if isinstance(method, str) else method[0]
            act = route.defaults['action']
            if tmpl.endswith('/action'):
                funcs = dict(ctl.wsgi_actions)
            else:
                funcs = {None: getattr(ctl.controller, act)}
            rx = re.compile('^' + re.sub(r'\\\{(\w+)\\\}', r'(?P<\1>[^/]+)', re.escape(tmpl)) + r'/?$')
            self.routes.append((rx, tmpl, method, funcs))
        # literal paths win over templated ones
        self.routes.sort(key=lambda r: r[1].count('{'))
        self.max = max_api_version().get_string()

    def find(self, method, path, request=None):
        path = '/' + path.split('?')[0].split('/v2.1', 1)[-1].lstrip('/')
        for rx, tmpl, m, funcs in self.routes:
            if m == method and rx.match(path):
                if None in funcs:
                    return tmpl, None, funcs[None]
                for a in (request or {}):
                    if a in funcs:
                        return tmpl, a, funcs[a]
        return None, None, None

    @staticmethod
    def _pick(func, attr, ver):
        s = getattr(func, attr, None)
        if s is None:
            return None
        v = APIVersionRequest(ver)
        for schema, lo, hi in s._schemas:
            if v.matches(lo, hi):
                return schema
        return None

    def check(self, method, path, ver, status, body, request=None, check_request=False):
        ver = self.max if ver == 'latest' else ver
        tmpl, action, func = self.find(method, path, request)
        if func is None:
            return ['no such nova route: %s %s' % (method, path)]
        out = []
        lo, hi = getattr(func, 'min_version', None), getattr(func, 'max_version', None)
        if not APIVersionRequest(ver).matches(APIVersionRequest(lo), APIVersionRequest(hi)):
            return [] if status == 404 else ['%s %s is not in %s: want 404, got %s' % (method, tmpl, ver, status)]
        if status >= 400:
            want = set()
            for c, a, b in _closure(func, 'errors'):
                if APIVersionRequest(ver).matches(APIVersionRequest(a), APIVersionRequest(b)):
                    want |= set(c if isinstance(c, tuple) else (c,))
            if status not in want | {401, 403, 413}:
                out.append('status %s not among nova expected_errors %s' % (status, sorted(want)))
            k = list(body or {})
            if len(k) != 1 or not {'code', 'message'} <= set(body[k[0]]):
                out.append('error body is not {"<fault>": {"code","message"}}')
            return out
        if check_request and request is not None:
            s = self._pick(func, 'request_body_schemas', ver)
            if s is not None:
                try:
                    validators._SchemaValidator(s).validate(request)
                except exception.ValidationError as e:
                    out.append('request: %s' % e)
        s = self._pick(func, 'response_body_schemas', ver)
        if s is None:
            out.append('nova has no response schema for %s %s %s' % (method, tmpl, action))
        else:
            cls = validators._SchemaValidator
            v = cls(s).validator
            for e in sorted(v.iter_errors(body), key=lambda e: list(map(str, e.path))):
                out.append('/%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message[:300]))
        codes = [c for c, a, b in _codes(func)
                 if APIVersionRequest(ver).matches(APIVersionRequest(a), APIVersionRequest(b))]
        ok = codes[0] if codes else 200
        if isinstance(ok, int) and status != ok:
            out.append('success status %s, nova answers %s' % (status, ok))
        return out
