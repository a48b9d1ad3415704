"""Which room may know which: what lint-rooms checks by includes and lint-symbols by what is linked."""

# Who may include whom (ARCHITECTURE.md, "Rooms").  A room may include itself.
ROOMS = {
    "base":     "",
    "http":     "base",
    "db":       "base",
    "page":     "base",
    "peer":     "base",
    "snapshot": "base http",
    "tls":      "base",
    "policy":   "base http",
    "route":    "base http",
    "budget":   "base http",
    "store":    "base http db",
    "tape":     "base http store snapshot",
    "origin":   "base http snapshot",
    "upstream": "base http db peer policy budget store origin snapshot tape",
    "config":   "base http policy route budget store origin snapshot tape upstream tls",
    "engine":   "base http peer policy route budget store upstream config origin snapshot tape",
    "jobs":     "base http peer policy route store config engine",
    "admin":    "base http page store upstream config engine snapshot tape",
    "front":    "base http peer route tls config engine admin",
    "ctl":      "base http snapshot",
}
ROOMS = {room: {room, *others.split()} for room, others in ROOMS.items()}

# Parts of a room, folders below it, and which other parts each may know.  What stands in the room's own folder knows
# all of them; they know of it the room's inner header alone.
PARTS = {
    "front/net":   "",
    "front/mhd":   "front/net",
    "front/proxy": "front/net front/mhd",
}
PARTS = {part: {part, *others.split()} for part, others in PARTS.items()}


def part_of(name):
    """The folder of "room/part/file"; None in the room's own folder."""
    return "/".join(name.split("/")[:2]) if name.count("/") == 2 else None


def may_know_part(name, other):
    """May the file `name` know the file `other` of the same room?  Both as "room/part/file" or "room/file"."""
    part, to = part_of(name), part_of(other)
    if part is None:
        return True
    return to in PARTS.get(part, ()) if to else other == name.split("/")[0] + "/internal.h"


# A rule carries its policy's settings, plain values: see ARCHITECTURE.md.
ALLOWED = {("route", "policy/options.h")}
