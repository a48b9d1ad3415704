// Budgets: what is left of every limit, the ones that matter now first.
import { html, nothing, svg } from "./lit-html.js";
import { amount, clean, count, duration, plural, since } from "./format.js";

const FEW = 12;
let showsAll = false;

// By shape and words as much as by colour.
const STATES = {
    blocked: { mark: "■", word: "the API says wait", rank: 0 },
    spent: { mark: "■", word: "spent", rank: 1 },
    low: { mark: "▲", word: "nearly spent", rank: 2 },
    fine: { mark: "●", word: "in hand", rank: 3 },
};

function stateOf(limit) {
    if (limit.blocked_for_s > 0) return "blocked";
    if (limit.left <= 0) return "spent";
    return limit.allowed > 0 && limit.left / limit.allowed < 0.2 ? "low" : "fine";
}

function order(a, b) {
    return STATES[a.state].rank - STATES[b.state].rank || b.waiting - a.waiting || a.share - b.share;
}

function rows(upstreams) {
    return upstreams.flatMap((u) => u.limits.map((limit) => ({
        ...limit,
        state: stateOf(limit),
        share: limit.allowed > 0 ? Math.max(0, Math.min(1, limit.left / limit.allowed)) : 0,
    }))).sort(order);
}

const bar = (limit) => svg`<svg class="bar ${limit.state}" aria-hidden="true">
    <rect class="whole" width="100%" height="100%" rx="5"></rect>
    <rect class="left" width="${(100 * limit.share).toFixed(2)}%" height="100%" rx="5"></rect>
</svg>`;

function waiters(limit) {
    if (limit.waiting === 0) return nothing;
    const who = limit.clients.map((c) => `${clean(c.client)}${c.priority === "batch" ? " (batch)" : ""} ${count(c.waiting)}`);
    return html`<span>${count(limit.waiting)} waiting${who.length > 0 ? html`: <bdi>${who.join(", ")}</bdi>` : nothing}</span>`;
}

const inUnits = (limit, n) => amount(n, limit.metered?.scale);

function metered(limit) {
    if (!limit.metered) return nothing;
    const { reserved, settled, unsettled } = limit.metered;
    return html`<span>${inUnits(limit, reserved)} reserved, ${inUnits(limit, settled)} settled, ${inUnits(limit, unsettled)} unsettled</span>`;
}

function notes(limit) {
    return html`
        ${limit.blocked_for_s > 0 ? html`<span>for ${duration(limit.blocked_for_s)}</span>` : nothing}
        ${limit.resets_in_s > 0 ? html`<span>whole again in ${duration(limit.resets_in_s)}</span>` : nothing}
        ${waiters(limit)}
        ${metered(limit)}
        ${limit.credential ? html`<span>credential <code>${clean(limit.credential)}</code></span>` : nothing}
        ${limit.learned_from ? html`<span>learned from ${clean(limit.learned_from)}</span>` : nothing}
        ${limit.lost_ago_s !== undefined ? html`<span>counts lost ${duration(limit.lost_ago_s)} ago, taken as spent</span>` : nothing}`;
}

function row(limit) {
    const { mark, word } = STATES[limit.state];
    return html`<li class="budget">
        <div class="names"><b><bdi>${clean(limit.upstream)}</bdi></b> <span class="quiet"><bdi>${clean(limit.limit)}</bdi></span></div>
        <div class="meter" role="meter" aria-label="${clean(limit.upstream)} ${clean(limit.limit)}" aria-valuemin="0"
            aria-valuemax=${limit.allowed} aria-valuenow=${Math.max(0, Math.min(limit.left, limit.allowed))}
            aria-valuetext="${inUnits(limit, limit.left)} of ${inUnits(limit, limit.allowed)} left, ${word}">${bar(limit)}</div>
        <div class="left-of"><b>${inUnits(limit, limit.left)}</b> <span class="quiet">of ${inUnits(limit, limit.allowed)} left</span></div>
        <div class="notes"><span class="state ${limit.state}"><span aria-hidden="true">${mark}</span> ${word}</span>${notes(limit)}</div>
    </li>`;
}

export function budgets(status, again) {
    const all = rows(status.upstreams);
    const shown = showsAll ? all : all.slice(0, FEW);
    const flip = () => {
        showsAll = !showsAll;
        again();
    };
    return html`<div class="head"><h2 id="budgets-title">Budgets</h2></div>
        ${all.length === 0
            ? html`<p class="quiet">No API has a limit: none is configured, and none has told of one.</p>`
            : html`<ul class="budgets">${shown.map(row)}</ul>`}
        ${all.length > FEW ? html`<button type="button" class="link" @click=${flip} aria-expanded=${showsAll}>
            ${showsAll ? "Show fewer" : `Show all ${count(all.length)}`}</button>` : nothing}`;
}

// -- upstreams: what each is doing --

const DOING = [
    ["Now", (u) => plural(u.in_flight, "request") + (u.waiting > 0 ? `, ${count(u.waiting)} waiting` : "")],
    ["A new one waits", (u) => (u.predicted_wait_s === null ? "for ever" : u.predicted_wait_s > 0 ? duration(u.predicted_wait_s) : "not at all")],
    ["Asked for", (u) => count(u.requests)],
    ["Attempts", (u) => count(u.attempts)],
    ["Retries", (u) => count(u.retries)],
    ["Failures", (u) => count(u.failures + u.unsent)],
];

let showsAllUpstreams = false;

// Every mode but live shows: whoever wonders why nothing is sent, or where answers come from, looks here.
function mode(u) {
    if (u.mode === "live") return nothing;
    const until = u.mode_until === null ? "" : ` until ${since(u.mode_until * 1000)}`;
    return html` <span class="state low"><span aria-hidden="true">◆</span> ${clean(u.mode.replaceAll("_", " "))}${until}</span>`;
}

function upstreamRow(u) {
    return html`<tr>
        <th scope="row"><bdi>${clean(u.name)}</bdi></th>
        <td data-label="State">${u.breaker_open
            ? html`<span class="state spent"><span aria-hidden="true">■</span> down, tried again</span>`
            : html`<span class="state fine"><span aria-hidden="true">●</span> in use</span>`}${mode(u)}</td>
        ${DOING.map(([label, value], i) => html`<td data-label=${label} class=${i > 1 ? "number" : ""}>${value(u)}</td>`)}
    </tr>`;
}

export function upstreams(status, again) {
    const busy = (u) => u.in_flight + u.waiting;
    const all = [...status.upstreams].sort((a, b) => busy(b) - busy(a) || b.requests - a.requests || a.name.localeCompare(b.name));
    const shown = showsAllUpstreams ? all : all.slice(0, FEW);
    const flip = () => {
        showsAllUpstreams = !showsAllUpstreams;
        again();
    };
    return html`<div class="head"><h2 id="upstreams-title">Upstreams</h2></div>
        ${all.length === 0 ? html`<p class="quiet">The configuration has none.</p>` : html`<table class="cards">
            <thead><tr><th scope="col">Name</th><th scope="col">State</th>
                ${DOING.map(([label], i) => html`<th scope="col" class=${i > 1 ? "number" : ""}>${label}</th>`)}</tr></thead>
            <tbody>${shown.map(upstreamRow)}</tbody>
        </table>`}
        ${all.length > FEW ? html`<button type="button" class="link" @click=${flip} aria-expanded=${showsAllUpstreams}>
            ${showsAllUpstreams ? "Show fewer" : `Show all ${count(all.length)}`}</button>` : nothing}`;
}
