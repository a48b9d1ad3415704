// What was saved today: since midnight, or since Weir was started.
import { html } from "./lit-html.js";
import { count, duration, since, size } from "./format.js";

const figure = (value, what, how) => html`<div class="figure"><dd>${value}</dd><dt>${what}</dt><p class="quiet">${how}</p></div>`;

export function saved(told, status) {
    const cache = status.cache;
    return html`<div class="head"><h2 id="saved-title">Saved today</h2>
            <span class="quiet">since ${since(told.since)}</span></div>
        <dl class="figures">
            ${figure(count(told.calls), told.calls === 1 ? "call" : "calls", `of ${count(told.requests)}, answered without asking an API`)}
            ${figure((told.waiting_s > 0 ? "about " : "") + duration(told.waiting_s), "of waiting", "by how long the same APIs took when they were asked")}
            ${figure(size(told.bytes), "not loaded", "bodies that came out of the cache")}
            ${figure(size(cache.bytes), "stored", `of ${size(cache.max_bytes)}, ${count(cache.records)} responses`)}
        </dl>`;
}
