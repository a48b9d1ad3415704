"""Configurations for private daemons, written as libconfig from Python values.

dict: a group; list or tuple: a list; str, bool, int, float: themselves; Raw: text as it is.
"""


class Raw(str):
    """Goes into the file as it is."""


def _value(value, indent):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
    inner = indent + "  "
    if isinstance(value, dict):
        return "{\n%s%s}" % (render(value, inner), indent)
    return "( %s )" % ", ".join(_value(item, inner) for item in value)


def render(settings, indent=""):
    return "".join(f"{indent}{name} = {_value(value, indent)};\n" for name, value in settings.items() if value is not None)


# No retries where a scenario does not ask for them: a failure is then seen at once.
QUIET = {"retry": {"attempts": 1}}


def upstream(origin, name="api", path="", aliases=(), **settings):
    """An upstream entry that points at a scripted origin; `aliases`: names that stand for it."""
    hosts = {"hosts": [f"{alias} = {origin.authority}" for alias in aliases]} if aliases else {}
    return {"name": name, "url": origin.url + path, **hosts, **QUIET, **settings}


def retry(attempts=3, backoff="5ms", on=(429, 500, 502, 503, 504), share="100%", max_backoff="50ms"):
    return {"attempts": attempts, "backoff": backoff, "max_backoff": max_backoff, "on": list(on), "share": share}


def merge(base, extra):
    """`extra` over `base`, group by group."""
    out = dict(base)
    for name, value in extra.items():
        out[name] = merge(out[name], value) if isinstance(value, dict) and isinstance(out.get(name), dict) else value
    return out
