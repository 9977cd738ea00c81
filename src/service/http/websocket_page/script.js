"use strict";
(() => {
// Bounds of what the page keeps.
const ROUND_TRIPS_MAX = 1000;
const MESSAGES_MAX = 200;
const EVENTS_MAX = 100;
const PAYLOAD_SHOWN_MAX = 2000;
const BURST = 100;
// Milliseconds.
const BACK_OFF_FIRST = 500;
const BACK_OFF_MAX = 30000;
const STABLE_AFTER = 5000;
const DRAW_AFTER = 40;
const JSON_FORMAT = "ringway.topics.v1.json";

// Close codes (RFC 6455, section 7.4.1, and the registry of IANA) and what follows from them.
// "again": a new connection may do. "restart": likewise, 5 to 30 seconds later, as the registry
// asks for. "user": only if the user wants it. Other codes are like "user": what was refused once
// would be refused again.
const CODES = new Map([
    [1000, ["normal closure", "user"]],
    [1001, ["the server goes away", "again"]],
    [1002, ["protocol error", "user"]],
    [1003, ["this kind of data is not accepted", "user"]],
    [1005, ["closed without a code", "again"]],
    [1006, ["the connection was lost, or was refused", "again"]],
    [1007, ["invalid data", "user"]],
    [1008, ["against the server's policy", "user"]],
    [1009, ["the message was too big", "user"]],
    [1010, ["an extension is missing", "user"]],
    [1011, ["internal error of the server", "again"]],
    [1012, ["the server restarts", "restart"]],
    [1013, ["try again later: the server is busy, or this page is too slow", "user"]],
    [1014, ["a server behind this one failed", "again"]],
    [1015, ["TLS failed", "again"]],
]);

const by = (id) => document.getElementById(id);
const create = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
};
const count = (number) => number.toLocaleString("en");
const plural = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;
const size = (bytes) => {
    if (bytes < 1024) return `${bytes} B`;
    const kib = bytes / 1024;
    if (kib < 1024) return `${kib < 10 ? +kib.toFixed(1) : Math.round(kib)} KiB`;
    return `${+(kib / 1024).toFixed(1)} MiB`;
};
const duration = (ms) => {
    if (ms < 0.9995) return `${Math.round(ms * 1000)} \u00b5s`;
    if (ms < 999.5) return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
    return `${(ms / 1000).toFixed(2)} s`;
};
const time = () => {
    const now = new Date();
    const made = create("time", now.toTimeString().slice(0, 8));
    made.dateTime = now.toISOString();
    return made;
};
const utf8 = new TextEncoder();
const bytesOf = (data) => (typeof data === "string" ? utf8.encode(data).length : data.byteLength);
// Does a task soon, and once however often it is asked for. Frames of animation do not come in tabs
// that nobody looks at.
const soon = (task) => {
    let timer = 0;
    return () => {
        timer ||= setTimeout(() => {
            timer = 0;
            task();
        }, DRAW_AFTER);
    };
};
const tell = (output, text, isBad = false) => {
    output.textContent = text;
    output.classList.toggle("bad", isBad);
};

const record = (name, text) => {
    const line = create("li");
    line.append(time(), create("b", name), create("span", text));
    by("events").prepend(line);
    if (by("events").childElementCount > EVENTS_MAX) by("events").lastElementChild.remove();
};

// One endpoint, with a connection that is opened again when it ends.
class Endpoint {
    constructor(name, protocols, events) {
        this.name = name;
        this.protocols = protocols;
        this.events = events;
        this.section = by(name);
        this.socket = null;
        this.attempt = 0;
        this.timer = 0;
        this.sent = this.received = this.sentBytes = this.receivedBytes = 0;
        // Below the path of the page, whatever that is.
        const url = new URL(location.href);
        url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
        url.pathname = `${location.pathname.replace(/\/+$/, "")}/${name}`;
        url.search = url.hash = "";
        this.url = url.href;
        this.facts = new Map();
        for (const fact of ["URL", "subprotocol", "extensions", "sent", "received"]) {
            const line = create("div");
            line.append(create("dt", fact), this.fact(fact));
            this.part(".facts").append(line);
        }
        this.facts.get("URL").textContent = this.url;
        this.refresh = soon(() => this.showCounts());
        this.part(".switch").addEventListener("click", () => this.toggle());
        this.part(".stop").addEventListener("click", () => this.stop());
        this.showCounts();
        this.show("closed", "");
    }

    part(selector) {
        return this.section.querySelector(selector);
    }

    fact(name) {
        const made = create("dd", "-");
        this.facts.set(name, made);
        return made;
    }

    get isOpen() {
        return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
    }

    show(state, why) {
        this.state = state;
        this.section.dataset.state = state;
        this.part(".word").textContent = state;
        this.part(".why").textContent = why;
        const isUp = state === "open" || state === "connecting";
        const word = isUp ? "Disconnect" : state === "waiting" ? "Connect now" : "Connect";
        this.part(".switch").textContent = word;
        this.part(".switch").disabled = state === "closing";
        this.part(".stop").hidden = state !== "waiting";
        if (state !== "waiting") this.part(".wait").textContent = "";
        for (const button of this.section.querySelectorAll("form button:not(.remove)")) {
            button.disabled = state !== "open";
        }
        if (state === "open") return;
        for (const fact of ["subprotocol", "extensions"]) this.facts.get(fact).textContent = "-";
    }

    showCounts() {
        const of = (messages, bytes) => `${plural(messages, "message")}, ${size(bytes)}`;
        this.facts.get("sent").textContent = of(this.sent, this.sentBytes);
        this.facts.get("received").textContent = of(this.received, this.receivedBytes);
    }

    toggle() {
        if (this.state === "open" || this.state === "connecting") {
            this.show("closing", "");
            this.socket.close(1000);
        } else {
            this.attempt = 0;
            this.open();
        }
    }

    stop() {
        clearTimeout(this.timer);
        this.show("closed", "");
    }

    open() {
        clearTimeout(this.timer);
        this.show("connecting", "");
        const began = performance.now();
        const socket = new WebSocket(this.url, this.protocols);
        socket.binaryType = "arraybuffer";
        this.socket = socket;
        let opened = 0;
        socket.addEventListener("open", () => {
            opened = performance.now();
            this.facts.get("subprotocol").textContent = socket.protocol || "none";
            this.facts.get("extensions").textContent = socket.extensions || "none";
            this.show("open", `in ${duration(opened - began)}`);
            record(this.name, `open in ${duration(opened - began)}`);
            this.events.opened();
        });
        socket.addEventListener("message", ({ data }) => {
            this.received += 1;
            this.receivedBytes += bytesOf(data);
            this.refresh();
            this.events.received(data);
        });
        socket.addEventListener("close", (event) => {
            if (opened > 0 && performance.now() - opened >= STABLE_AFTER) this.attempt = 0;
            this.closed(event, opened);
        });
    }

    closed({ code, reason }, opened) {
        const wasAsked = this.state === "closing";
        this.socket = null;
        const [meaning, next] = CODES.get(code) ?? ["a code of the application", "user"];
        const told = reason && reason !== meaning ? ` ("${reason}")` : "";
        const why = wasAsked && opened === 0 ? "" : `${code}: ${meaning}${told}`;
        this.events.closed();
        if (wasAsked || next === "user") {
            record(this.name, `closed${why && `, ${why}`}`);
            this.show("closed", why);
            return;
        }
        // The first attempt after a restart comes when the registry says, further ones back off.
        const most = Math.min(BACK_OFF_MAX, BACK_OFF_FIRST * 2 ** this.attempt);
        const delay =
            next === "restart" ? 5000 + 25000 * Math.random() : most * (0.5 + Math.random() / 2);
        this.attempt += 1;
        record(this.name, `closed, ${why}; attempt ${this.attempt} in ${duration(delay)}`);
        this.show("waiting", why);
        this.wait(performance.now() + delay);
    }

    wait(until) {
        const left = until - performance.now();
        if (left <= 0) {
            this.open();
            return;
        }
        this.part(".wait").textContent = `again in ${Math.ceil(left / 1000)} s`;
        this.timer = setTimeout(() => this.wait(until), Math.min(left, 1000));
    }

    // True if it was sent.
    send(data) {
        if (!this.isOpen) return false;
        this.socket.send(data);
        this.sent += 1;
        this.sentBytes += bytesOf(data);
        this.refresh();
        return true;
    }
}

// Echo: messages come back in their order.
const expected = [];
let roundTrips = [];
let roundTripCount = 0;
let burst = null;

const quantile = (sorted, share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];

const svg = (name, values) => {
    const made = document.createElementNS(by("chart").namespaceURI, name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    return made;
};

// A histogram with a logarithmic axis of times.
const drawChart = () => {
    const chart = by("chart");
    chart.replaceChildren();
    if (roundTrips.length === 0) return;
    const sorted = [...roundTrips].sort((one, other) => one - other);
    const [p50, p99] = [quantile(sorted, 0.5), quantile(sorted, 0.99)];
    const [min, max] = [sorted[0], sorted[sorted.length - 1]];
    const width = Math.max(200, chart.clientWidth);
    const height = Math.max(60, chart.clientHeight);
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    // Twice as wide as the times are apart, at least: one time alone stands in the middle.
    const middle = (Math.log(min + 1e-3) + Math.log(max + 1e-3)) / 2;
    const half = Math.max(Math.log(2), (Math.log(max + 1e-3) - Math.log(min + 1e-3)) / 2) * 1.04;
    const place = (ms) => (Math.log(ms + 1e-3) - middle + half) / (2 * half);
    const bins = new Array(Math.min(60, Math.floor(width / 9))).fill(0);
    const binOf = (ms) => Math.min(bins.length - 1, Math.floor(place(ms) * bins.length));
    for (const ms of sorted) bins[binOf(ms)] += 1;
    const tallest = Math.max(...bins);
    const step = width / bins.length;
    bins.forEach((number, at) => {
        if (number === 0) return;
        const tall = Math.max(2, (number / tallest) * (height - 6));
        const box = { x: at * step + 1, y: height - tall, width: step - 2, height: tall, rx: 1.5 };
        chart.append(svg("rect", box));
    });
    for (const [kind, ms] of [["p50", p50], ["p99", p99]]) {
        const x = place(ms) * width;
        chart.append(svg("line", { x1: x, x2: x, y1: 0, y2: height, class: kind }));
    }
    by("rt-last").textContent = duration(roundTrips[roundTrips.length - 1]);
    by("rt-min").textContent = duration(min);
    by("rt-p50").textContent = duration(p50);
    by("rt-p99").textContent = duration(p99);
    by("rt-max").textContent = duration(max);
    by("rt-count").textContent = count(roundTripCount);
    by("chart-told").textContent =
        `The last ${plural(sorted.length, "round trip")}, from ${duration(min)} to ` +
        `${duration(max)} on a logarithmic axis. p50 is ${duration(p50)}, p99 ${duration(p99)}.`;
};
const redrawChart = soon(drawChart);
addEventListener("resize", redrawChart);

const echo = new Endpoint("echo", [], {
    opened() {},
    received(data) {
        const now = performance.now();
        const sent = expected.shift();
        if (sent === undefined || sent.data !== data) {
            tell(by("echo-told"), "What came back is not what was sent.", true);
            record("echo", "what came back is not what was sent");
            return;
        }
        roundTrips.push(now - sent.at);
        if (roundTrips.length > ROUND_TRIPS_MAX) roundTrips = roundTrips.slice(-ROUND_TRIPS_MAX);
        roundTripCount += 1;
        redrawChart();
        if (burst === null) {
            const told = `${size(bytesOf(data))} came back in ${duration(now - sent.at)}`;
            tell(by("echo-told"), data.length > 100 ? `${told}.` : `${told}: ${data}`);
        } else if (sent === burst.last) {
            const took = now - burst.began;
            const rate = Math.round((BURST * 1000) / took);
            tell(
                by("echo-told"),
                `${BURST} messages of ${size(burst.size)} came back in ${duration(took)}: ` +
                    `${count(rate)} a second.`,
            );
            burst = null;
        }
    },
    closed() {
        if (expected.length > 0) {
            tell(by("echo-told"), `${plural(expected.length, "message")} did not come back.`, true);
        }
        expected.length = 0;
        burst = null;
    },
});

const sendEcho = (data) => {
    const sent = { data, at: performance.now() };
    if (!echo.send(data)) return null;
    expected.push(sent);
    return sent;
};

by("send-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sendEcho(by("send-text").value);
});

by("burst-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (burst !== null || !echo.isOpen) return;
    const wanted = Number(by("burst-size").value);
    burst = { size: wanted, began: performance.now(), last: null };
    for (let number = 0; number < BURST; number += 1) {
        burst.last = sendEcho(`${number} `.padEnd(wanted, "0123456789abcdef"));
    }
});

// Topics, in the JSON format of docs/websocket.md.
const filters = new Map([["chat/#", "asked"]]);
const asked = new Map();
let lastId = 0;
let messageCount = 0;
let droppedCount = 0;
// Lines that are not shown yet, the latest last.
let lines = [];

const showFilters = () => {
    const shown = [...filters].map(([filter, state]) => {
        const line = create("li", undefined, state);
        const remove = create("button", "\u00d7", "remove");
        remove.type = "button";
        remove.setAttribute("aria-label", `Unsubscribe from ${filter}`);
        remove.addEventListener("click", () => unsubscribe(filter));
        line.append(create("code", filter), remove);
        return line;
    });
    by("filters").replaceChildren(...shown);
};

const showLines = soon(() => {
    const list = by("messages");
    list.prepend(...lines.reverse());
    lines = [];
    while (list.childElementCount > MESSAGES_MAX) list.lastElementChild.remove();
    const dropped = droppedCount > 0 ? `, ${count(droppedCount)} dropped` : "";
    const newest = messageCount > MESSAGES_MAX ? `, the last ${MESSAGES_MAX} are here` : "";
    const some = `${count(messageCount)} came${dropped}${newest}`;
    by("message-counts").textContent = messageCount + droppedCount > 0 ? some : "none yet";
});

const addLine = (kind, ...parts) => {
    const line = create("li", undefined, kind);
    line.append(time(), ...parts);
    lines.push(line);
    if (lines.length > MESSAGES_MAX) lines.shift();
    showLines();
};

// Sends an operation. `data` is JSON already, and is sent as it is.
const ask = (what, data) => {
    lastId += 1;
    const text = JSON.stringify({ ...what, id: lastId });
    const isSent = topics.send(data === undefined ? text : `${text.slice(0, -1)},"data":${data}}`);
    if (isSent) asked.set(lastId, what);
    return isSent;
};

const subscribe = (filter) => {
    filters.set(filter, "asked");
    ask({ op: "subscribe", topic: filter });
    showFilters();
};

const unsubscribe = (filter) => {
    filters.delete(filter);
    ask({ op: "unsubscribe", topic: filter });
    showFilters();
};

const toBase64 = (text) => {
    let bytes = "";
    for (const byte of utf8.encode(text)) bytes += String.fromCharCode(byte);
    return btoa(bytes);
};

// A payload as people read it.
const readable = (message) => {
    if ("data" in message) return [JSON.stringify(message.data), "JSON"];
    const bytes = Uint8Array.from(atob(message.base64 ?? ""), (char) => char.charCodeAt(0));
    if (bytes.length === 0) return ["", "empty"];
    try {
        return [new TextDecoder("utf-8", { fatal: true }).decode(bytes), "text"];
    } catch {
        const hex = Array.from(bytes.subarray(0, 32), (byte) => byte.toString(16).padStart(2, "0"));
        const rest = bytes.length > 32 ? " ..." : "";
        return [hex.join(" ") + rest, `${size(bytes.length)}, not UTF-8`];
    }
};

const showMessage = (message) => {
    messageCount += 1;
    const [text, kind] = readable(message);
    const cut = text.length > PAYLOAD_SHOWN_MAX;
    const shown = cut ? `${text.slice(0, PAYLOAD_SHOWN_MAX)}...` : text;
    const parts = [create("span", message.topic, "topic")];
    if (text) parts.push(create("code", shown, "payload"));
    parts.push(create("span", cut ? `${kind}, ${size(bytesOf(text))}` : kind, "tag"));
    if (message.retained) parts.push(create("span", "retained", "tag"));
    addLine("", ...parts);
};

const answered = (message) => {
    const what = asked.get(message.id);
    asked.delete(message.id);
    if (message.op === "error") {
        if (what?.op === "subscribe") filters.delete(what.topic);
        const failed = what ? `${what.op} ${what.topic}` : "a message";
        tell(by("topics-told"), `${failed}: ${message.error}. ${message.message ?? ""}`, true);
        record("topics", `${failed}: ${message.error}`);
    } else if (what?.op === "subscribe") {
        if (filters.has(what.topic)) filters.set(what.topic, "active");
        tell(by("topics-told"), `Subscribed to ${what.topic}.`);
    } else if (what?.op === "unsubscribe") {
        tell(by("topics-told"), `No longer subscribed to ${what.topic}.`);
    } else if (what?.op === "publish") {
        tell(by("topics-told"), `Published to ${what.topic}${what.retain ? ", retained" : ""}.`);
    }
    showFilters();
};

const topics = new Endpoint("topics", [JSON_FORMAT], {
    opened() {
        for (const filter of filters.keys()) subscribe(filter);
    },
    received(data) {
        let message;
        try {
            message = JSON.parse(data);
        } catch {
            record("topics", "a message that is not JSON");
            return;
        }
        if (message.op === "message") showMessage(message);
        else if (message.op === "ok" || message.op === "error") answered(message);
        else if (message.op === "dropped") {
            droppedCount += message.count;
            const told = `${plural(message.count, "message")} dropped: this page was too slow`;
            addLine("notice", create("span", told));
            record("topics", told);
        }
    },
    closed() {
        asked.clear();
        for (const filter of filters.keys()) filters.set(filter, "asked");
        showFilters();
    },
});

by("subscribe-form").addEventListener("submit", (event) => {
    event.preventDefault();
    subscribe(by("filter").value);
});

by("publish-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = by("payload").value;
    const what = { op: "publish", topic: by("topic").value };
    if (by("retain").checked) what.retain = true;
    if (by("payload-kind").value === "text") {
        if (text) what.base64 = toBase64(text);
        ask(what);
        return;
    }
    try {
        if (text.trim()) JSON.parse(text);
    } catch (error) {
        tell(by("topics-told"), `The payload is not JSON: ${error.message}`, true);
        return;
    }
    ask(what, text.trim() || undefined);
});

// A text becomes JSON that is valid.
by("payload-kind").addEventListener("change", () => {
    const payload = by("payload");
    if (by("payload-kind").value !== "json" || !payload.value.trim()) return;
    try {
        JSON.parse(payload.value);
    } catch {
        payload.value = JSON.stringify({ text: payload.value });
    }
});

by("clear").addEventListener("click", () => {
    by("messages").replaceChildren();
    lines = [];
    messageCount = droppedCount = 0;
    showLines();
});

// Whoever waits tries at once when the network is back.
addEventListener("online", () => {
    for (const endpoint of [echo, topics]) {
        if (endpoint.state === "waiting") endpoint.open();
    }
});

const [navigation] = performance.getEntriesByType("navigation");
const versions = { h2: "HTTP/2", h3: "HTTP/3", "http/1.1": "HTTP/1.1" };
by("page-protocol").textContent = versions[navigation?.nextHopProtocol] ?? "HTTP";
// Tabs are told apart by what they publish.
const tab = Array.from(crypto.getRandomValues(new Uint8Array(2)), (byte) => byte.toString(16));
by("payload").value = `hello from tab ${tab.map((digits) => digits.padStart(2, "0")).join("")}`;
showFilters();
echo.open();
topics.open();
})();
