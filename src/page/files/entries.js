// What is stored: listed by a glob, shown one by one, and dropped after the daemon has said how many that would be.
import { html, nothing } from "./lit-html.js";
import { ask, askText, lines, path } from "./api.js";
import { ask as confirm, close, open } from "./dialog.js";
import { clean, count, duration, plural, size } from "./format.js";

const FEW = 15, SHOWN_IN_ADVANCE = 10, BODY_MOST = 64 * 1024;

const list = { url: "", sort: "", stale: false, limit: FEW, rows: null, end: null, isBusy: false, why: "", said: "", turn: 0 };
let again = () => {};

export function watch(onChange) {
    again = onChange;
}

export async function look() {
    const turn = ++list.turn;
    const rows = [];
    let end = null;
    list.isBusy = true;
    list.why = "";
    again();
    try {
        await lines(path("/entries", { url: list.url.trim(), sort: list.sort, stale: list.stale ? 1 : "", limit: list.limit }), (parsed) => {
            for (const line of parsed) {
                if (line.listed !== undefined) end = line;
                else rows.push(line);
            }
        });
        if (turn !== list.turn) return;
        list.rows = rows;
        list.end = end ?? { listed: rows.length, more: true };
    } catch (error) {
        if (turn !== list.turn) return;
        list.rows = list.end = null;
        list.why = error.message;
    }
    list.isBusy = false;
    again();
}

// -- purge --

async function wouldDrop(what) {
    const urls = [];
    let n = 0;
    await lines("/purge", (parsed) => {
        for (const line of parsed) {
            if (line.listed !== undefined) n = line.listed;
            else if (urls.length < SHOWN_IN_ADVANCE) urls.push(line.url);
        }
    }, { method: "POST", body: { ...what, dry_run: true } });
    return { n, urls };
}

const advance = ({ n, urls }) => html`<p>${plural(n, "stored response")} would be dropped${n > urls.length ? `; the first ${urls.length}` : ""}:</p>
    <ul class="urls">${urls.map((url) => html`<li><bdi>${clean(url)}</bdi></li>`)}</ul>`;

async function purge(what) {
    list.said = "";
    try {
        const found = await wouldDrop(what);
        if (found.n === 0) {
            list.said = "Nothing that is stored fits: nothing was dropped.";
        } else if (await confirm(`Drop ${plural(found.n, "response")}?`, advance(found), "Drop")) {
            const { dropped } = await ask("/purge", { method: "POST", body: what });
            list.said = `Dropped ${plural(dropped, "response")}.`;
            await look();
        }
    } catch (error) {
        list.said = `Not dropped: ${error.message}`;
    }
    again();
}

// -- show --

function variant(entry, at, all) {
    const vary = Object.entries(entry.vary ?? {});
    return html`<section class="variant">
        ${all.length > 1 ? html`<h3>Variant ${at + 1} of ${all.length}</h3>` : nothing}
        <dl class="facts">
            <dt>Status</dt><dd>${entry.status}</dd>
            <dt>State</dt><dd>${entry.state}${entry.left_s === null ? nothing : `, ${entry.left_s < 0 ? `since ${duration(entry.left_s)}` : `${duration(entry.left_s)} left`}`}</dd>
            <dt>Received</dt><dd>${clean(entry.received)}, ${duration(entry.age_s)} ago</dd>
            <dt>Size</dt><dd>${size(entry.size)} in a ${entry.kept_in === "file" ? "file" : "row of the database"}</dd>
            <dt>Upstream</dt><dd><bdi>${clean(entry.upstream)}</bdi>${entry.rule ? html`, rule <code>${clean(entry.rule)}</code>` : nothing}</dd>
            <dt>Whose</dt><dd>${clean(entry.whose)}</dd>
            ${vary.length > 0 ? html`<dt>For</dt><dd>${vary.map(([name, value]) => html`<div><code>${clean(name)}: ${value === null ? "(none)" : clean(value)}</code></div>`)}</dd>` : nothing}
        </dl>
        <pre tabindex="0" role="region" aria-label="Fields">${(entry.fields ?? []).map(([name, value]) => `${clean(name)}: ${clean(value)}\n`)}</pre>
    </section>`;
}

// Line ends and tabs are what they are; anything else that cannot be seen is shown by its number.
const cleanText = (text) => text.split(/(\r\n|[\n\t])/).map((part, i) => (i % 2 ? part : clean(part))).join("");

function body(text) {
    if (!text) return nothing;
    return html`<h3>Body, as it is stored</h3>
        <pre class="body" tabindex="0" role="region" aria-label="Body">${cleanText(text.text)}</pre>
        ${text.isWhole ? nothing : html`<p class="quiet">The first ${size(BODY_MOST)}; weirctl show --body has all of it.</p>`}`;
}

async function show(row) {
    const which = { url: row.url, whose: row.whose };
    let text = null, why = "";
    const draw = (entries, more) => open(clean(row.url), html`${entries.map(variant)}
        ${more ? html`<p class="quiet">There are more variants: weirctl show lists them.</p>` : nothing}
        ${why ? html`<p class="notice">${why}</p>` : nothing}
        ${body(text)}`, html`
            <button type="button" @click=${async () => {
                try {
                    text = await askText(path("/entry", { ...which, body: 1 }), BODY_MOST);
                } catch (error) {
                    why = error.message;
                }
                draw(entries, more);
            }} ?hidden=${text !== null}>Show the body</button>
            <button type="button" @click=${close}>Close</button>`);
    try {
        const { entries, more } = await ask(path("/entry", which));
        draw(entries, more);
    } catch (error) {
        list.said = error.message;
        again();
    }
}

// -- the list --

const STATE_MARKS = { fresh: "●", stale: "◐", invalidated: "▲", unused: "·" };

function row(entry) {
    const left = entry.left_s === null || entry.left_s === undefined ? "" : entry.left_s < 0 ? "" : `, ${duration(entry.left_s)} left`;
    return html`<tr>
        <td data-label="URL" class="target" title=${clean(entry.url)}>${entry.method === "GET" ? nothing : html`<span class="quiet">${clean(entry.method)}</span> `}<bdi>${clean(entry.url)}</bdi></td>
        <td data-label="Status" class="number">${entry.status}</td>
        <td data-label="State"><span aria-hidden="true" class="mark">${STATE_MARKS[entry.state] ?? "·"}</span> ${clean(entry.state)}${left}</td>
        <td data-label="Size" class="number">${size(entry.size)}</td>
        <td data-label="Age" class="number">${duration(entry.age_s)}</td>
        <td data-label="Hits" class="number">${entry.hits === null ? "–" : count(entry.hits)}</td>
        <td class="actions"><button type="button" @click=${() => show(entry)} aria-label="Show ${clean(entry.url)}">Show</button>
            <button type="button" @click=${() => purge({ url: entry.url, whose: entry.whose })} aria-label="Purge ${clean(entry.url)}">Purge…</button></td>
    </tr>`;
}

function table() {
    if (list.rows === null) return html`<p class=${list.why ? "notice" : "quiet"}>${list.why ? clean(list.why) : "Say which, or look at all."}</p>`;
    if (list.rows.length === 0) return html`<p class="quiet">Nothing stored fits.</p>`;
    const more = () => {
        list.limit *= 4;
        look();
    };
    return html`<table class="cards">
            <thead><tr><th scope="col" class="target">URL</th><th scope="col" class="number">Status</th><th scope="col">State</th>
                <th scope="col" class="number">Size</th><th scope="col" class="number">Age</th><th scope="col" class="number">Hits</th>
                <th scope="col"><span class="unseen">Actions</span></th></tr></thead>
            <tbody>${list.rows.map(row)}</tbody></table>
        <p class="quiet">${plural(list.end.listed, "response")}${list.end.more ? ", and there are more" : ""}.
            ${list.end.more ? html`<button type="button" class="link" @click=${more}>Show more</button>` : nothing}</p>`;
}

const SORTS = [["", "as stored"], ["size", "largest first"], ["age", "oldest first"], ["hits", "most used first"], ["expires", "expiring first"]];

export function stored() {
    const submit = (event) => {
        event.preventDefault();
        list.said = "";
        list.limit = FEW;
        look();
    };
    return html`<div class="head"><h2 id="entries-title">Stored</h2>
            <span class="quiet" role="status">${list.isBusy ? "looking…" : clean(list.said)}</span></div>
        <form class="tools" @submit=${submit}>
            <label for="glob">URL or glob</label>
            <input id="glob" type="search" autocomplete="off" spellcheck="false" placeholder="/inat/v1/taxa/**" .value=${list.url}
                @input=${(e) => { list.url = e.target.value; }}>
            <label for="sort" class="unseen">Order</label>
            <select id="sort" @change=${(e) => { list.sort = e.target.value; }}>
                ${SORTS.map(([value, text]) => html`<option value=${value} ?selected=${value === list.sort}>${text}</option>`)}</select>
            <label class="check"><input id="stale" type="checkbox" .checked=${list.stale} @change=${(e) => { list.stale = e.target.checked; }}> stale only</label>
            <button type="submit" id="look">Look</button>
            <button type="button" id="purge-all" ?disabled=${list.url.trim() === "" && !list.stale}
                @click=${() => purge({ ...(list.url.trim() ? { url: list.url.trim() } : {}), ...(list.stale ? { expired: true } : {}) })}>Purge these…</button>
        </form>
        ${table()}`;
}
