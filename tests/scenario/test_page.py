"""The page in a real Chromium: what it asks for, shows and does, by mouse and by keyboard; real_clients: see test_real_clients.py."""
import json
import re

import pytest

from harness import page
from harness.chromium import Browser
from harness.settings import upstream
from harness.wait import slowness

pytestmark = pytest.mark.real_clients

HOSTILE = "%3Cimg%20src=x%20onerror=alert(1)%3E"


@pytest.fixture
def browser(place):
    with Browser(place, "--host-resolver-rules=MAP evil.example 127.0.0.1") as it:
        yield it


@pytest.fixture
def shown(daemons, origin, browser):
    """(daemon, tab) of a page that is signed in; the origin's answers may be kept for an hour."""
    def start(width=1280, dark=False, **of_upstream):
        origin.reply(body=b'{"name": "<script>alert(1)</script>"}', fields=[("Cache-Control", "max-age=3600"), ("Content-Type", "application/json")])
        d = daemons(upstream(origin, **{"limits": ["10/h"], **of_upstream}), settings=page.LISTEN).start()
        tab = browser.tab(page.link(d), width=width, dark=dark)
        tab.until("document.querySelector('#budgets h2') && document.querySelector('#log').innerText.includes('live')", "the page is there")
        return d, tab
    return start


def rows(tab, section):
    return tab.run(f"[...document.querySelectorAll('#{section} tbody tr')].map((r) => r.innerText)")


def look_at_stored(tab, count):
    tab.run("document.getElementById('look').click()")
    tab.until(f"document.querySelectorAll('#entries tbody tr').length === {count}", f"{count} stored responses")


def test_it_loads_without_a_complaint_and_asks_nobody_else(shown, browser):
    d, tab = shown()
    d.get("/api/x")
    tab.until("document.querySelectorAll('#log tbody tr').length === 1")
    own = "http://%s:%d/" % page.address(d)
    assert tab.complaints == [] and tab.requests and all(url.startswith(own) for _, url in tab.requests)
    assert all("cookie" not in fields for fields in tab.fields)
    assert tab.run("document.cookie") == "" and browser.call("Storage.getCookies") == {"cookies": []}
    assert not any("code=" in url.partition("#")[0] or "token" in url for _, url in tab.requests)
    assert tab.run("location.href") == own and tab.run("history.length") <= 2


def test_the_live_tail_shows_a_request_within_a_second(shown):
    d, tab = shown()
    tab.run("""window.shown = new Promise((resolve) => new MutationObserver(() => {
        if (document.querySelector('#log').innerText.includes('/api/quick')) resolve(Date.now()); })
        .observe(document.querySelector('#log'), { subtree: true, childList: true, characterData: true })), 0""")
    asked = tab.run("Date.now()")
    d.get("/api/quick")
    assert tab.run("window.shown") - asked < 1000 * slowness * 3    # a second; the machine may be busy
    assert "GET /api/quick" in re.sub(r"\s+", " ", rows(tab, "log")[0])


def test_the_filter_is_the_daemons(shown):
    d, tab = shown()
    tab.run("document.getElementById('filter').focus()")
    tab.write("url~wanted")
    tab.press("Enter")
    tab.until("document.querySelector('#log').innerText.includes('live')")
    d.get("/api/other")
    d.get("/api/wanted")
    tab.until("document.querySelectorAll('#log tbody tr').length > 0")
    assert len(rows(tab, "log")) == 1 and "/api/wanted" in rows(tab, "log")[0]
    assert any(url.endswith("filter=url~wanted") and "/log?" in url for _, url in tab.requests)
    tab.run("document.getElementById('filter').focus()")
    tab.write(" ???=")
    tab.press("Enter")
    tab.until("document.querySelector('#log').innerText.includes('not understood')", "what is wrong is said")


def test_one_stream_a_tab_ended_when_hidden_and_taken_up_again(shown, browser):
    d, tab = shown()
    streams = lambda: [url for _, url in tab.requests if "/log?" in url]      # noqa: E731
    assert len(streams()) == 1
    other = browser.call("Target.createTarget", url="about:blank", newWindow=False)["targetId"]
    browser.call("Target.activateTarget", targetId=other)
    tab.run("""Object.defineProperty(document, 'visibilityState', { get: () => window.isHidden ? 'hidden' : 'visible' });
        window.isHidden = true; document.dispatchEvent(new Event('visibilitychange')), 0""")
    tab.until("document.querySelector('#log').innerText.includes('paused')")
    connections = lambda: json.loads(d.admin("GET", "/status").body)["counters"]["connections"]      # noqa: E731
    asked = len(tab.requests)
    d.get("/api/unseen")
    before = connections()
    d.get("/api/unseen2")
    assert connections() == before + 1 and len(tab.requests) == asked, "nothing is asked while hidden"
    tab.run("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange')), 0")
    tab.until("document.querySelector('#log').innerText.includes('/api/unseen2')", "what came meanwhile is there")
    assert len(streams()) == 2


def test_a_budget_bar_moves(shown):
    d, tab = shown(limits=["10/h", {"name": "money", "rate": "5/day", "scale": 6, "charge": ["0.00125 body"]}])
    left = "document.querySelector('.budget [role=meter]').getAttribute('aria-valuenow')"
    width = "document.querySelector('.budget .left').getAttribute('width')"
    assert (tab.run(left), tab.run(width)) == ("10", "100.00%")
    for i in range(9):
        d.get(f"/api/{i}")
    tab.until(f"{left} === '1' && {width} === '10.00%'", "the bar has moved")
    assert "nearly spent" in tab.text("#budgets") and "1 of 10 left" in tab.text("#budgets")
    paid = 9 * 0.00125 * len(b'{"name": "<script>alert(1)</script>"}')
    tab.until(f"document.querySelector('#budgets').innerText.includes('0 reserved, {paid:.4f} settled, 0 unsettled')", "what was paid")
    assert f"{5 - paid:.4f} of 5 left" in tab.text("#budgets")


def test_the_mode_shows_and_for_how_long(shown):
    d, tab = shown()
    state = "document.querySelector('#upstreams tbody tr').innerText"
    assert "in use" in tab.run(state) and "◆" not in tab.run(state)
    assert d.ctl("mode", "api", "dry_run_writes", "--for", "2h").returncode == 0
    tab.until(f"/◆ dry run writes until .*[0-9]{{2}}:[0-9]{{2}}/.test({state})", "the mode")
    assert d.ctl("mode", "api", "live").returncode == 0
    tab.until(f"!{state}.includes('◆')", "live again")


def test_what_is_answered_later_is_shown(shown):
    d, tab = shown(limits=["1/h"], queue={"max_wait": "12h"})
    tab.until("document.querySelector('#jobs').innerText.includes('Weir-Async: 1')", "there is none")
    for i in range(2):
        assert d.request("GET", f"/api/later{i}/{HOSTILE}", [("Weir-Async", "1")]).status == 202
    tab.until("/1 queued, 1 done[^]*\\bin \\d/.test(document.querySelector('#jobs').innerText)", "both are there")
    shown_rows = sorted(re.sub(r"\s+", " ", row) for row in rows(tab, "jobs"))
    assert any(" 200 ● done GET /api/later0/" in row and " ago " in row for row in shown_rows), shown_rows
    assert any(" – ‖ queued GET /api/later1/" in row and " in " in row for row in shown_rows), shown_rows
    assert tab.complaints == []


def test_what_was_saved_is_told(shown):
    d, tab = shown()
    d.get("/api/a")
    d.wait_stored()
    for _ in range(4):
        d.get("/api/a")
    tab.until("document.querySelector('#saved').innerText.includes('4 calls') || document.querySelector('#saved dd').innerText === '4'")
    assert re.search(r"since \d\d:\d\d", tab.text("#saved")) and "of 5" in tab.text("#saved")


def test_a_purge_by_button(shown):
    d, tab = shown()
    for name in ("a", "b"):
        d.get(f"/api/{name}")
    d.wait_stored(2)
    look_at_stored(tab, 2)
    tab.run("[...document.querySelectorAll('#entries tbody tr')].find((r) => r.innerText.includes('/a')).querySelectorAll('button')[1].click()")
    tab.until("document.getElementById('yes')", "it asks first")
    assert "1 stored response would be dropped" in tab.text("dialog") and "/a" in tab.text("dialog")
    assert d.counter("purged") == 0
    tab.run("document.getElementById('yes').click()")
    tab.until("document.querySelector('#entries').innerText.includes('Dropped 1 response')")
    tab.until("document.querySelectorAll('#entries tbody tr').length === 1")
    assert d.get("/api/b").cache.hit and not d.get("/api/a").cache.hit


def test_what_comes_from_others_is_text(shown):
    d, tab = shown()
    d.get(f"/api/{HOSTILE}?q=<b>", [("Weir-Client", "<img src=x onerror=alert(2)>")])
    d.wait_stored()
    look_at_stored(tab, 1)
    tab.until("document.querySelectorAll('#log tbody tr').length === 1")
    tab.run("document.querySelector('#entries tbody button').click()")
    tab.until("document.querySelector('dialog dl')")
    tab.run("[...document.querySelectorAll('dialog button')].find((b) => b.innerText.includes('body')).click()")
    tab.until("document.querySelector('dialog .body')")
    assert "<script>alert(1)</script>" in tab.text("dialog")
    assert tab.run("document.querySelectorAll('main img, main script, main b > *:not(bdi), dialog script, dialog img').length") == 0
    assert tab.complaints == []


def test_explain_says_what_would_happen(shown, origin):
    d, tab = shown()
    d.get("/api/x?a=1")
    d.wait_stored()
    tab.run("document.getElementById('url').focus()")
    tab.write("/api/x?a=2")
    tab.press("Enter")
    tab.until("document.getElementById('told')", "an answer")
    assert "api" in tab.text("#told") and "differs in query a" in tab.text("#told") and origin.count() == 1


# -- by keyboard alone ----------------------------------------------------------------


def tab_to(tab, what, most=60):
    """Presses Tab until what has the focus; each stop on the way has to show it."""
    stops = []
    for _ in range(most):
        tab.press("Tab")
        stops.append(tab.run("""(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
            return { tag: e.tagName, name: e.id || e.innerText || e.getAttribute('aria-label') || e.tagName, seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2
                     && r.width > 0 && r.height > 0 }; })()"""))
        if tab.run(f"document.activeElement.matches({json.dumps(what)})"):
            assert all(stop["seen"] for stop in stops if stop["tag"] != "BODY"), stops      # it begins anew there
            return [stop["name"] for stop in stops]
    raise AssertionError(f"{what} is not reached: {stops}")


def test_everything_by_keyboard(shown):
    d, tab = shown()
    d.get("/api/x")
    d.wait_stored()
    assert tab_to(tab, ".skip") and tab.run("document.activeElement.getBoundingClientRect().top") >= 0
    tab.press("Enter")
    tab_to(tab, "#filter")
    tab.write("url~nothing")
    tab.press("Enter")
    tab.until("document.querySelector('#log').innerText.includes('No request fits')")
    tab_to(tab, "#pause")
    tab.press("Enter")
    tab.until("document.querySelector('#log').innerText.includes('paused')")
    tab_to(tab, "#look")
    tab.press("Enter")
    tab.until("document.querySelectorAll('#entries tbody tr').length === 1")
    tab_to(tab, "#entries tbody button:first-child")
    tab.press("Enter")
    tab.until("document.querySelector('dialog dl')")
    tab.press("Escape")
    tab.until("!document.getElementById('dialog').open && document.activeElement.matches('#entries tbody button')", "the focus is given back")
    tab_to(tab, "#entries tbody button:last-child")
    tab.press("Enter")
    tab.until("document.getElementById('yes')")
    tab_to(tab, "#yes")
    tab.press("Enter")
    tab.until("document.querySelector('#entries').innerText.includes('Dropped 1 response')")
    tab_to(tab, "#url")
    tab.write("/api/x")
    tab.press("Enter")
    tab.until("document.getElementById('told')")
    tab_to(tab, "#sign-out")
    tab.press("Enter")
    tab.until("document.getElementById('link')", "signed out")


def test_it_is_named_for_who_does_not_see_it(shown):
    d, tab = shown()
    d.get("/api/x")
    d.wait_stored()
    look_at_stored(tab, 1)
    nameless = tab.run("""[...document.querySelectorAll('button, input, select, [role], section, [tabindex="0"]')].filter((e) => !(e.innerText || e.labels?.length
        || e.getAttribute('aria-label') || document.getElementById(e.getAttribute('aria-labelledby'))?.innerText || e.getAttribute('role') === 'status'))
        .map((e) => e.outerHTML)""")
    assert nameless == []
    assert tab.run("document.documentElement.lang") == "en" and tab.run("document.querySelectorAll('h1').length") == 1
    assert tab.run("document.querySelectorAll('[aria-live=polite]').length") >= 1


# -- how it looks ----------------------------------------------------------------------

CONTRAST = """(() => {
    const parse = (c) => c.match(/[\\d.]+/g).map(Number);
    const light = (c) => { const [r, g, b] = parse(c).slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (parse(c)[3] !== 0) return c; } return 'rgb(255,255,255)'; };
    return [...document.querySelectorAll('main *, header *')].filter((e) => !e.disabled && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.offsetParent)
        .map((e) => { const a = light(getComputedStyle(e).color), b = light(ground(e)); return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 90)]; })
        .filter(([ratio]) => ratio < 4.5); })()"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_dark_and_light_wide_and_narrow(shown, width, dark):
    d, tab = shown(width=width, dark=dark)
    d.get("/api/" + "long" * 60)
    d.get("/api/ok")
    d.wait_stored(2)
    look_at_stored(tab, 2)
    tab.until("document.querySelectorAll('#log tbody tr').length === 2")
    assert tab.run("document.documentElement.scrollWidth") <= width, "nothing stands over the edge"
    assert (tab.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] * 1") < 60) == dark
    assert tab.run(CONTRAST) == []          # WCAG 2.2, 1.4.3
    assert tab.run("getComputedStyle(document.body).fontVariantNumeric") == "tabular-nums"
    assert len(tab.picture()) > 10000


def test_who_wants_no_motion_sees_none(shown):
    _, tab = shown()
    moves = "getComputedStyle(document.querySelector('.bar .left')).transitionDuration"
    assert tab.run(moves) == "0.4s"
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert tab.run(moves) == "0s"


# -- who may -------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", "#code=", "#code=wrong", "#code=" + "A" * 43, "#token=" + "A" * 43])
def test_without_a_good_link_it_shows_how_to_come_by_one(daemons, origin, browser, code):
    d = daemons(upstream(origin), settings=page.LISTEN).start()
    tab = browser.tab("http://%s:%d/%s" % (*page.address(d), code))
    tab.until("document.getElementById('link')")
    tab.until("!location.hash.startsWith('#code=')")
    assert "weirctl dashboard" in tab.text() and tab.run("document.getElementById('sections').hidden")
    tab.run("document.getElementById('link').focus()")
    tab.write(page.link(d))
    tab.press("Enter")
    tab.until("document.querySelector('#budgets h2')", "a pasted link opens it")


def test_a_link_opens_one_tab_and_another_tab_knows_nothing(daemons, origin, browser):
    d = daemons(upstream(origin), settings=page.LISTEN).start()
    url = page.link(d)
    first = browser.tab(url)
    first.until("document.querySelector('#budgets h2')")
    second = browser.tab(url)
    second.until("document.querySelector('[role=alert]')")
    assert "used before" in second.text() and second.run("sessionStorage.length") == 0
    first.call("Page.bringToFront")
    first.call("Page.reload")
    first.until("document.querySelector('#budgets h2')", "the tab's own reload keeps it")
    assert first.run("localStorage.length") == 0


def test_a_session_that_ends_says_so(shown):
    d, tab = shown()
    token = tab.run("sessionStorage.getItem('weir-token')")
    assert page.ask(d, "POST", "/session/end", token=token).status == 200
    tab.until("document.getElementById('link')", "it asks for a new link")
    assert tab.run("sessionStorage.length") == 0


def test_pages_of_elsewhere_get_nothing_with_a_code_and_a_token(daemons, origins, browser):
    api, site = origins(), origins()
    site.handler = lambda request, conn: conn.answer(200, b"<!doctype html><title>x</title>", [("Content-Type", "text/html")])
    d = daemons(upstream(api), settings=page.LISTEN).start()
    host, port = page.address(d)
    code, token = page.code_of(page.link(d)), page.token(d)
    for elsewhere in (f"http://evil.example:{site.port}/", f"http://127.0.0.1:{site.port}/"):      # cross-site, same-site
        tab = browser.tab(elsewhere)
        tab.until("document.title === 'x'")
        for own in (f"http://{host}:{port}", f"http://evil.example:{port}"):
            tries = tab.run(f"""Promise.all([
                fetch('{own}/status', {{ headers: {{ Authorization: 'Bearer {token}' }} }}),
                fetch('{own}/session', {{ method: 'POST', body: '{{"code": "{code}"}}' }}),
                fetch('{own}/session', {{ method: 'POST', mode: 'no-cors', body: '{{"code": "{code}"}}' }}).then((r) => {{ if (r.type === 'opaque') throw 0; return r; }}),
                fetch('{own}/page/main.js'),
                import('{own}/page/main.js'),
                new Promise((yes, no) => {{ const i = new Image(); i.onload = yes; i.onerror = no; i.src = '{own}/page/icon.svg'; }}),
            ].map((p) => p.then(() => 'let in', () => 'refused')))""")
            assert tries == ["refused"] * 6, (elsewhere, own)
    assert page.exchange(d, code).status == 200, "nobody has used it up"
