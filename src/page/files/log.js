// Requests as they end: one streamed answer, filtered by the daemon, broken off while nobody looks.
import { html, nothing } from "./lit-html.js";
import { lines, path } from "./api.js";
import { clean, count, duration, plural, size, time } from "./format.js";

const KEPT = 200, BEFORE = 30, AGAIN_MS = 2000;

const log = { filter: "", draft: "", rows: [], dropped: 0, isOn: true, state: "off", why: "", kept: "", abort: null, retry: 0 };
let again = () => {};

function take(parsed) {
    for (const line of parsed) {
        if (line.dropped !== undefined) log.dropped += line.dropped;
        else if (line.kept === false) log.kept = line.because;
        else log.rows.unshift(line);
    }
    log.rows.length = Math.min(log.rows.length, KEPT);
    again();
}

async function follow(before) {
    const mine = new AbortController();
    log.abort = mine;
    log.state = "opening";
    log.why = log.kept = "";
    again();
    try {
        await lines(path("/log", { follow: 1, n: before, filter: log.filter }), (parsed) => mine === log.abort && take(parsed), {
            signal: mine.signal,
            opened: () => {
                log.state = "open";
                again();
            },
        });
        throw new Error("The daemon ended it.");
    } catch (error) {
        if (mine !== log.abort) return; // broken off by stop()
        log.abort = null;
        log.state = "failed";
        log.why = error.message;
        // What was asked wrongly stays wrong.
        if (!(error.status >= 400 && error.status < 500)) log.retry = setTimeout(start, AGAIN_MS);
        again();
    }
}

export function start() {
    clearTimeout(log.retry);
    if (!log.isOn || log.abort || document.visibilityState === "hidden") return;
    log.rows = [];
    log.dropped = 0;
    follow(BEFORE);
}

export function stop() {
    clearTimeout(log.retry);
    const running = log.abort;
    log.abort = null;
    log.state = "off";
    running?.abort();
}

export function watch(onChange) {
    again = onChange;
    document.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "hidden") stop();
        else start();
        again();
    });
}

function apply(event) {
    event.preventDefault();
    log.filter = log.draft.trim();
    log.isOn = true;
    stop();
    start();
}

function flip() {
    log.isOn = !log.isOn;
    if (log.isOn) start();
    else stop();
    again();
}

// -- how a request looks --

const OUTCOMES = { hit: "●", stale: "◐", revalidated: "◑", miss: "○", pass: "→", own: "·", error: "✕", refused: "✕", unavailable: "✕", failed: "✕" };

function tone(line) {
    if (line.status >= 500 || line.cache === "failed") return "bad";
    return line.status >= 400 ? "warn" : "";
}

function row(line) {
    const cache = clean(line.cache ?? "");
    return html`<tr class=${tone(line)}>
        <td data-label="Ended" class="number"><time datetime=${line.time}>${time(line.time)}</time></td>
        <td data-label="Status" class="number">${tone(line) ? html`<span aria-hidden="true">${tone(line) === "bad" ? "■" : "▲"} </span>` : nothing}${line.status || "–"}</td>
        <td data-label="Cache"><span aria-hidden="true" class="mark">${OUTCOMES[line.cache] ?? "·"}</span> ${cache}</td>
        <td data-label="Request" class="target" title=${clean(line.target)}><span class="quiet">${clean(line.method)}</span> <bdi>${clean(line.target)}</bdi></td>
        <td data-label="Client" class="client" title=${clean(line.client ?? line.peer)}><bdi>${clean(line.client ?? line.peer ?? "")}</bdi></td>
        <td data-label="Size" class="number">${size(line.bytes ?? 0)}</td>
        <td data-label="Took" class="number">${duration((line.took_ms ?? 0) / 1000)}</td>
    </tr>`;
}

const STATES = {
    off: ["‖", "paused"], opening: ["…", "connecting"], open: ["▶", "live"], failed: ["■", "broken off"],
};

const HINT = "upstream=inat status>=500 cache=miss wait>1s client=ci url~taxa";

export function tail() {
    const [mark, word] = STATES[log.state];
    return html`<div class="head"><h2 id="log-title">Requests</h2>
            <span class="quiet" role="status"><span aria-hidden="true">${mark}</span> ${word}${log.state === "failed" ? `: ${clean(log.why)}` : nothing}</span></div>
        <form class="tools" @submit=${apply}>
            <label for="filter">Filter</label>
            <input id="filter" type="search" autocomplete="off" spellcheck="false" placeholder=${HINT} .value=${log.draft}
                @input=${(e) => { log.draft = e.target.value; }}>
            <button type="submit">Apply</button>
            <button type="button" id="pause" @click=${flip}>${log.isOn ? "Pause" : "Go on"}</button>
        </form>
        ${log.kept ? html`<p class="quiet">${clean(log.kept)}</p>` : nothing}
        ${log.rows.length === 0
            ? html`<p class="quiet">${log.state === "open" ? (log.filter ? "No request fits the filter so far." : "No request so far.") : nothing}</p>`
            : html`<div class="frame" tabindex="0" role="region" aria-label="The last requests"><table class="cards lines">
                <thead><tr><th scope="col" class="number">Ended</th><th scope="col" class="number">Status</th><th scope="col">Cache</th>
                    <th scope="col" class="target">Request</th><th scope="col">Client</th><th scope="col" class="number">Size</th>
                    <th scope="col" class="number">Took</th></tr></thead>
                <tbody>${log.rows.map(row)}</tbody></table></div>`}
        <p class="quiet">${log.rows.length === KEPT ? `The last ${count(KEPT)}. ` : nothing}
            ${log.dropped > 0 ? `${plural(log.dropped, "request")} came too fast to be shown; the access log has all.` : nothing}</p>`;
}
