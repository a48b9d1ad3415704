"""Which room may know which: what lint-rooms checks by includes and lint-symbols by what is linked."""

# Who may include whom (ARCHITECTURE.md, "Rooms").  A room may include itself.
ROOMS = {
    "base":     "",
    "http":     "base",
    "db":       "base",
    "peer":     "base",
    "tls":      "base",
    "policy":   "base http",
    "route":    "base http",
    "budget":   "base http",
    "store":    "base http db",
    "origin":   "base http",
    "upstream": "base http db peer policy budget store origin",
    "config":   "base http policy route budget store origin upstream tls",
    "engine":   "base http peer policy route budget store upstream config",
    "admin":    "base http store upstream config engine",
    "front":    "base http peer route tls config engine admin",
    "ctl":      "base http",
}
ROOMS = {room: {room, *others.split()} for room, others in ROOMS.items()}

# A rule carries its policy's settings, plain values: see ARCHITECTURE.md.
ALLOWED = {("route", "policy/options.h")}
