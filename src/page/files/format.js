// How figures and texts look.  What comes from an API or a client is text, and never more: its control characters and those
// that turn the direction of writing are shown by their numbers.

// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

export function clean(text) {
    return String(text ?? "").replace(UNSEEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => whole.format(n ?? 0);

// Of a limit that counts in so many decimal places.
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });
export const amount = (n, scale = 0) => (scale > 0 ? fine.format((n ?? 0) / 10 ** scale) : count(n));

export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

export function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
        bytes /= 1024;
        unit++;
    }
    return `${unit === 0 ? whole.format(bytes) : bytes.toFixed(bytes < 10 ? 1 : 0)} ${units[unit]}`;
}

export function duration(seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
    const s = Math.abs(seconds);
    if (s < 0.0005) return s === 0 ? "0 s" : "<1 ms";
    if (s < 1) return `${Math.round(s * 1000)} ms`;
    if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const time = (iso) => clock.format(new Date(iso));
export const since = (iso) => {
    const then = new Date(iso);
    return (then.toDateString() === new Date().toDateString() ? shortClock : day).format(then);
};
