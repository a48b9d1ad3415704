"""Header fields with their case and order, and the two structured ones the scenarios read."""


class Fields:
    """A list of (name, value) as on the wire; looked up without regard to case."""

    def __init__(self, pairs=()):
        self.pairs = [(name, value) for name, value in pairs]

    def all(self, name):
        return [value for n, value in self.pairs if n.lower() == name.lower()]

    def get(self, name, default=None):
        """The value of a field that must not be repeated."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else default

    def joined(self, name):
        return ", ".join(self.all(name))

    def names(self):
        return [name for name, _ in self.pairs]

    def spelling(self, names):
        """Those of `names` that are there, as they were spelled, in their order."""
        wanted = {name.lower() for name in names}
        return [name for name, _ in self.pairs if name.lower() in wanted]

    def __contains__(self, name):
        return any(n.lower() == name.lower() for n, _ in self.pairs)

    def __iter__(self):
        return iter(self.pairs)

    def __len__(self):
        return len(self.pairs)

    def __repr__(self):
        return "Fields(%r)" % (self.pairs,)


def _split(text, separator):
    """Splits where `separator` stands outside of quotes."""
    parts, quoted, escaped, begin = [], False, False, 0
    for i, c in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and c == "\\":
            escaped = True
        elif c == '"':
            quoted = not quoted
        elif c == separator and not quoted:
            parts.append(text[begin:i])
            begin = i + 1
    parts.append(text[begin:])
    return [part.strip() for part in parts]


def _bare(text):
    if text.startswith('"'):
        assert text.endswith('"') and len(text) >= 2, f"unclosed string: {text}"
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text.lstrip("-").isdigit():
        return int(text)
    if text in ("?0", "?1"):
        return text == "?1"
    return text


class Params(dict):
    """The parameters of one member; a missing one reads as None: `status.hit`, `status["fwd-status"]`."""

    def __getattr__(self, name):
        return self.get(name.replace("_", "-"))

    def __missing__(self, name):
        return None


def member(value, name="weir"):
    """Parameters of the list member `name` (RFC 8941) of Cache-Status or Proxy-Status; None without one."""
    found = None
    for item in _split(value or "", ","):
        first, *rest = _split(item, ";")
        if _bare(first) != name if first else True:
            continue
        assert found is None, f"two members {name}: {value}"
        found = Params()
        for parameter in rest:
            key, has_value, text = parameter.partition("=")
            assert key and key == key.lower(), f"not a parameter: {parameter!r} in {value!r}"
            found[key] = _bare(text) if has_value else True
    return found
