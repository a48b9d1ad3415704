// What the page does when: signing in, asking for the status while somebody looks, drawing.
import { html, nothing, render } from "./lit-html.js";
import * as api from "./api.js";
import { budgets, upstreams } from "./budgets.js";
import * as entries from "./entries.js";
import * as explain from "./explain.js";
import { clean, duration } from "./format.js";
import { jobs } from "./jobs.js";
import * as log from "./log.js";
import { saved } from "./saved.js";

const PAUSE_MS = 1000, SHARE = 5; // a daemon that takes long to answer is asked less often
const at = (id) => document.getElementById(id);

let status = null, told = null, later = null, trouble = "", why = "", polls = 0, timer = 0;

// -- drawing: each section by itself --

function drawStatus() {
    render(status === null ? nothing : html`<span class="quiet">${clean(status.version)}, up ${duration(status.uptime_s)}</span>
        <button type="button" id="sign-out" @click=${signOut}>Sign out</button>`, at("about"));
    render(trouble ? html`<p class="notice"><span aria-hidden="true">■</span> ${clean(trouble)}</p>` : nothing, at("state"));
    if (status === null) return;
    render(budgets(status, drawStatus), at("budgets"));
    render(saved(told, status), at("saved"));
    render(upstreams(status, drawStatus), at("upstreams"));
    render(jobs(later), at("jobs"));
}

const drawLog = () => render(log.tail(), at("log"));
const drawEntries = () => render(entries.stored(), at("entries"));
const drawExplain = () => render(explain.explain(), at("explain"));

function drawSignIn() {
    at("sections").hidden = !api.isSignedIn();
    render(api.isSignedIn() ? nothing : html`<section class="sign-in" aria-labelledby="sign-in-title">
        <h2 id="sign-in-title">This page wants a link</h2>
        ${why ? html`<p class="notice" role="alert">${clean(why)}</p>` : nothing}
        <p>In a terminal, as somebody who may change Weir, say</p>
        <pre>weirctl dashboard</pre>
        <p>and open what it prints here, or paste it:</p>
        <form class="tools" @submit=${paste}>
            <label for="link">Link</label><input id="link" autocomplete="off" spellcheck="false" required>
            <button type="submit">Sign in</button>
        </form>
        <p class="quiet">A link works once, within two minutes. What it opens lasts for twelve hours, in this tab alone.</p>
    </section>`, at("sign-in"));
}

// -- the session --

async function signIn(code) {
    why = "";
    try {
        await api.signIn(code);
        begin();
    } catch (error) {
        why = `${error.title ? `${error.title}: ` : ""}${error.message}`;
    }
    drawSignIn();
}

function paste(event) {
    event.preventDefault();
    const code = api.codeIn(at("link").value);
    if (code) {
        signIn(code);
    } else {
        why = "There is no code in it: it ends with #code= and 43 characters.";
        drawSignIn();
    }
}

// The code leaves the address line, and the history, before anything else happens.
function takeCode() {
    const code = api.codeIn(location.hash);
    if (!location.hash.startsWith("#code=")) return false;
    history.replaceState(null, "", location.pathname);
    if (code) signIn(code);
    return code !== null;
}

async function signOut() {
    try {
        await api.signOut();
    } catch {
        // it is forgotten here all the same
    }
}

function end() {
    clearTimeout(timer);
    polls++;
    log.stop();
    status = null;
    drawStatus();
    drawSignIn();
}

// -- asking, while somebody looks --

async function poll() {
    const turn = ++polls;
    clearTimeout(timer);
    if (!api.isSignedIn() || document.visibilityState === "hidden") return;
    const begun = performance.now();
    try {
        const all = await Promise.all([api.ask("/status"), api.ask("/saved"), api.ask("/jobs")]);
        if (turn !== polls) return;
        [status, told, later] = all;
        trouble = "";
    } catch (error) {
        if (turn !== polls) return;
        trouble = error.status ? error.message : "Weir does not answer: what stands here is as it was.";
    }
    drawStatus();
    timer = setTimeout(poll, Math.max(PAUSE_MS, SHARE * (performance.now() - begun)));
}

function begin() {
    trouble = "";
    drawSignIn();
    drawLog();
    drawEntries();
    drawExplain();
    poll();
    log.start();
    entries.look();
}

log.watch(drawLog);
entries.watch(drawEntries);
explain.watch(drawExplain);
api.whenSignedOut(end);
document.addEventListener("visibilitychange", poll);
window.addEventListener("hashchange", takeCode);
if (!takeCode()) {
    if (api.isSignedIn()) begin();
    else drawSignIn();
}
