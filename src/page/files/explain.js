// What would happen to a request, and why; nothing of it happens.
import { html, nothing } from "./lit-html.js";
import { ask } from "./api.js";
import { clean, duration, plural, size } from "./format.js";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

const question = { url: "", method: "GET", field: "", told: null, why: "", isBusy: false };
let again = () => {};

export function watch(onChange) {
    again = onChange;
}

// "Name: value"
function headers() {
    const colon = question.field.indexOf(":");
    return colon > 0 ? [[question.field.slice(0, colon).trim(), question.field.slice(colon + 1).trim()]] : [];
}

async function submit(event) {
    event.preventDefault();
    question.isBusy = true;
    question.why = "";
    again();
    try {
        question.told = await ask("/explain", { method: "POST", body: { url: question.url.trim(), method: question.method, headers: headers() } });
    } catch (error) {
        question.told = null;
        question.why = error.message;
    }
    question.isBusy = false;
    again();
}

const place = (p) => (p ? html` <span class="quiet">${clean(p.file)}:${p.line}</span>` : nothing);

function upstream(told) {
    if (!told.upstream) return html`<dt>Upstream</dt><dd>none: no request of Weir's goes there</dd>`;
    return html`<dt>Upstream</dt><dd><b><bdi>${clean(told.upstream.name)}</bdi></b>${place(told.upstream.place)}
            ${told.denied ? html`<div><span aria-hidden="true">▲</span> its access setting keeps some callers out; the rest is what would come for others</div>` : nothing}</dd>
        <dt>Rule</dt><dd>${told.rule ? html`${told.rule.number} <code>${clean(told.rule.match)}</code>${place(told.rule.place)}` : "none matches: the upstream's own settings"}</dd>
        ${(told.settings ?? []).length > 0 ? html`<dt>Settings</dt><dd>${told.settings.map((s) => html`<div><code>${clean(s.name)}${s.value === null ? "" : ` = ${clean(s.value)}`}</code>${place(s.place)}</div>`)}</dd>` : nothing}`;
}

const difference = (d) => html`${clean(d.in)} <code>${clean(d.name)}</code>`;

function near(entry) {
    return html`<div><bdi><code>${clean(entry.url)}</code></bdi> (${duration(entry.age_s)} old)
        differs in ${entry.differs_in.map((d, i) => html`${i > 0 ? ", " : nothing}${difference(d)}`)}</div>`;
}

function stored(told) {
    const s = told.stored;
    if (!s) return nothing;
    return html`<dt>Stored</dt><dd>${s.found ? html`yes, ${clean(s.state)}: ${size(s.size)}, ${duration(s.age_s)} old` : s.other_variant ? "only another variant" : "no"}
        ${!s.found && (s.nearest ?? []).length > 0 ? html`<div class="quiet">nearest of ${plural(s.under_this_path, "response")} under this path:</div>${s.nearest.map(near)}` : nothing}</dd>`;
}

function misses(told) {
    const m = told.misses;
    if (!m || (m.differ_in ?? []).length === 0) return nothing;
    return html`<dt>Misses</dt><dd>of this rule's last ${m.count}: ${m.differ_in.map((d) => html`<div>${d.misses} differed in ${difference(d)} alone${d.line
        ? html`: <code>${clean(d.line)}</code> ${clean(d.where)}` : nothing}</div>`)}</dd>`;
}

function answer() {
    const told = question.told;
    if (question.why) return html`<p class="notice" role="alert">${clean(question.why)}</p>`;
    if (!told) return nothing;
    return html`<dl class="facts" id="told">
        ${upstream(told)}
        ${told.key ? html`<dt>Key</dt><dd><bdi><code>${clean(told.key.method)} ${clean(told.key.url)}</code></bdi>, ${clean(told.key.whose)}</dd>` : nothing}
        ${stored(told)}
        ${told.would ? html`<dt>Would</dt><dd><b>${clean(told.would.text)}</b></dd>` : nothing}
        ${misses(told)}
    </dl>`;
}

export function explain() {
    return html`<div class="head"><h2 id="explain-title">Explain</h2>
            <span class="quiet" role="status">${question.isBusy ? "asking…" : "what would happen to a request, and why; nothing is sent"}</span></div>
        <form class="tools" @submit=${submit}>
            <label for="method" class="unseen">Method</label>
            <select id="method" @change=${(e) => { question.method = e.target.value; }}>${METHODS.map((m) => html`<option ?selected=${m === question.method}>${m}</option>`)}</select>
            <label for="url">URL</label>
            <input id="url" autocomplete="off" spellcheck="false" required placeholder="https://api.inaturalist.org/v1/taxa/1" .value=${question.url}
                @input=${(e) => { question.url = e.target.value; }}>
            <label for="field">Field</label>
            <input id="field" autocomplete="off" spellcheck="false" placeholder="Accept-Language: de" .value=${question.field}
                @input=${(e) => { question.field = e.target.value; }}>
            <button type="submit" id="explain-it">Explain</button>
        </form>
        ${answer()}`;
}
