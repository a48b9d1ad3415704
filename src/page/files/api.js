// The daemon's answers: the session's token, requests that carry it, and answers that come line by line.

const TOKEN = "weir-token"; // in sessionStorage: this tab's, and gone with it

export class Refused extends Error {
    constructor(status, problem) {
        super(problem.detail || problem.title || `The daemon answered ${status}.`);
        this.status = status;
        this.title = problem.title || "Refused";
    }
}

let onSignedOut = () => {};

export function whenSignedOut(callback) {
    onSignedOut = callback;
}

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

function forgetToken() {
    sessionStorage.removeItem(TOKEN);
    onSignedOut();
}

async function refusal(response) {
    let problem = {};
    try {
        problem = await response.json();
    } catch {
        // not what Weir would say: the status has to do
    }
    return new Refused(response.status, problem);
}

async function send(path, { method = "GET", body, signal, token = sessionStorage.getItem(TOKEN) } = {}) {
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(path, {
        method, headers, signal, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
        body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.ok) return response;
    const why = await refusal(response);
    // Another tab's session, or a newer one of this tab, is not ended by an answer to an older request.
    if (response.status === 401 && token && token === sessionStorage.getItem(TOKEN)) forgetToken();
    throw why;
}

// -- the session --

// "http://…/#code=CODE", "#code=CODE" or the code alone.
export function codeIn(text) {
    const found = /(?:^|#)code=([A-Za-z0-9_-]+)/.exec(text) || /^\s*([A-Za-z0-9_-]{43})\s*$/.exec(text);
    return found ? found[1] : null;
}

export async function signIn(code) {
    const response = await send("/session", { method: "POST", body: { code }, token: null });
    const { token } = await response.json();
    sessionStorage.setItem(TOKEN, token);
}

export async function signOut() {
    try {
        await send("/session/end", { method: "POST", body: {} });
    } finally {
        forgetToken();
    }
}

// -- asking --

export const path = (base, parameters) => {
    const said = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    return said.length === 0 ? base
        : base + "?" + said.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
};

export async function ask(where, options) {
    return (await send(where, options)).json();
}

export async function askText(where, most, options) {
    const reader = (await send(where, options)).body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return { text: text + decoder.decode(), isWhole: true };
        text += decoder.decode(value, { stream: true });
        if (text.length > most) {
            await reader.cancel();
            return { text: text.slice(0, most), isWhole: false };
        }
    }
}

// Gives each line of NDJSON, parsed, as it comes; `opened` is called once the daemon has answered.
export async function lines(where, each, { opened = () => {}, ...options } = {}) {
    const reader = (await send(where, options)).body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    opened();
    for (;;) {
        const { done, value } = await reader.read();
        rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
        const whole = rest.split("\n");
        rest = done ? "" : whole.pop();
        const parsed = whole.filter((line) => line !== "").map((line) => JSON.parse(line));
        if (parsed.length > 0) each(parsed);
        if (done) return;
    }
}
