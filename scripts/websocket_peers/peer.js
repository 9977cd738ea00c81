// npm's ws as a peer.
//
//   node peer.js client URL LABEL OPTIONS    checks the server; OPTIONS are words of `deflate declined takeover endpoint topics`
//   node peer.js server PORT plain|deflate   the server that scripts/websocket_peers.sh describes
const assert = require('assert');
const crypto = require('crypto');
const WebSocket = require('ws');

const FRAGMENTS = 'fragment '.repeat(3000);
const [mode, target, label, words = ''] = process.argv.slice(2);
const options = words.split(' ');

// A socket whose messages are waited for one by one; text is a string, bytes are a Buffer.
async function open(offered) {
    const ws = new WebSocket(target, offered, {
        perMessageDeflate: options.includes('deflate') || options.includes('declined') ? { threshold: 0 } : false,
        rejectUnauthorized: false,
        handshakeTimeout: 20000,
    });
    const messages = [], waiting = [];
    let ended = '';
    ws.on('message', (data, isBinary) => {
        const message = isBinary ? data : data.toString();
        waiting.length ? waiting.shift().resolve(message) : messages.push(message);
    });
    ws.next = () => new Promise((resolve, reject) => {
        if (messages.length) resolve(messages.shift());
        else if (ended) reject(new Error(ended));
        else waiting.push({ resolve, reject });
    });
    ws.on('close', (code, reason) => {
        ended = `closed with ${code} ${reason}`;
        for (const one of waiting) one.reject(new Error(ended));
    });
    ws.closed = new Promise((resolve) => ws.on('close', (code, reason) => resolve([code, reason.toString()])));
    ws.on('upgrade', (response) => { ws.extensionsTold = response.headers['sec-websocket-extensions'] || ''; });
    await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
    // What is written while the server closes may fail; the code that came before counts.
    ws.removeAllListeners('error').on('error', () => {});
    return ws;
}

function same(found, expected) {
    const isSame = Buffer.isBuffer(expected) ? Buffer.isBuffer(found) && found.equals(expected) : found === expected;
    assert(isSame, `${String(found).slice(0, 200)} instead of ${String(expected).slice(0, 200)}`);
}

async function echo(ws, message) {
    ws.send(message);
    same(await ws.next(), message);
}

const common = {
    async extensions(ws) {
        same(ws.extensionsTold.includes('permessage-deflate'), options.includes('deflate'));
        if (options.includes('endpoint') && options.includes('deflate')) {
            same(ws.extensionsTold.includes('no_context_takeover'), !options.includes('takeover'));
        }
    },
    async echoes(ws) {
        const bytes = [Buffer.alloc(0), Buffer.from([0, 255]), Buffer.alloc(65536, 'b')];
        for (const message of ['text', 'grüße, 世界 🌍', '', 'a'.repeat(126), ...bytes]) await echo(ws, message);
    },
    async large(ws) {
        await echo(ws, crypto.randomBytes(1 << 20));
        await echo(ws, 'sixteen letters.'.repeat(1 << 16));
    },
    async many(ws) {
        for (let n = 0; n < 200; n++) ws.send(`message ${n} `.repeat(20));
        for (let n = 0; n < 200; n++) same(await ws.next(), `message ${n} `.repeat(20));
    },
    async fragments(ws) {
        const pong = new Promise((resolve) => ws.once('pong', resolve));
        const parts = [Buffer.from('gr'), Buffer.from([0xc3]), Buffer.alloc(0), Buffer.from([0xbc]), Buffer.from('ße')];
        for (const part of parts) ws.send(part, { fin: false, binary: false });
        ws.ping('between');
        same(await pong, Buffer.from('between'));
        ws.send(' '.repeat(1000), { fin: true });
        same(await ws.next(), 'grüße' + ' '.repeat(1000));
    },
    async pings(ws) {
        for (const payload of ['', 'ping', 'p'.repeat(125)]) {
            const pong = new Promise((resolve) => ws.once('pong', resolve));
            ws.ping(payload);
            same(await pong, Buffer.from(payload));
        }
    },
    async subprotocol(ws) {
        same(ws.protocol, 'chat.v1');
    },
    async close(ws) {
        ws.close(4321, 'done hère');
        same((await ws.closed)[0], 4321);
    },
};
const proxied = {
    async 'server pings'(ws) {
        ws.send('ping');
        same(await ws.next(), 'pong from server');
    },
    async 'server fragments'(ws) {
        ws.send('fragments');
        same(await ws.next(), FRAGMENTS);
    },
    async 'server closes'(ws) {
        ws.send('close 4444 that is äll');
        same((await ws.closed).join(' '), '4444 that is äll');
    },
};
const endpoint = {
    async 'not utf8'(ws) {
        ws.send(Buffer.from([0xc3, 0x28]), { binary: false });
        same((await ws.closed)[0], 1007);
    },
    async 'too large'(ws) {
        ws.send(Buffer.alloc((1 << 20) + 1, 'z'));
        same((await ws.closed)[0], 1009);
        const other = await open(['chat.v1']);
        other.send(Buffer.alloc(1 << 23, 'z'));
        same((await other.closed)[0], 1009);
    },
};
const topics = {
    async 'topics json'(ws) {
        const topic = `node/${crypto.randomUUID()}`;
        ws.send(JSON.stringify({ op: 'subscribe', topic: `${topic}/+`, id: 1 }));
        same(await ws.next(), '{"op":"ok","id":1}');
        ws.send(JSON.stringify({ op: 'publish', topic: `${topic}/a`, data: { x: 'ü' } }));
        assert.deepStrictEqual(JSON.parse(await ws.next()), { op: 'message', topic: `${topic}/a`, data: { x: 'ü' } });
    },
    async 'topics binary'(ws) {
        const topic = `node/${crypto.randomUUID()}`;
        ws.send(Buffer.from(`\x01\0\0\0\x07${topic}`));
        same(await ws.next(), Buffer.from([0x81, 0, 0, 0, 7]));
        const named = Buffer.from(`\0\0${String.fromCharCode(topic.length)}${topic}payload`);
        ws.send(Buffer.concat([Buffer.from([3, 0, 0, 0, 0]), named]));
        same(await ws.next(), Buffer.concat([Buffer.from([0x83]), named]));
    },
};

async function client() {
    const others = options.includes('endpoint') ? endpoint : proxied;
    const checks = options.includes('topics') ? topics : { ...common, ...others };
    for (const [name, check] of Object.entries(checks)) {
        const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no end after 60 s')), 60000));
        late.catch(() => {});
        const format = { 'topics json': ['ringway.topics.v1.json'], 'topics binary': ['ringway.topics.v1.binary'] };
        let ws;
        try {
            const run = async () => { ws = await open(format[name] || ['none.v9', 'chat.v1']); await check(ws); };
            await Promise.race([run(), late]);
            console.log(`ok      ${label}: ${name}`);
        } catch (error) {
            console.log(`FAILED  ${label}: ${name}: ${error.message}`);
        }
        if (ws) ws.terminate();
    }
    console.log('done');
    process.exit();
}

function server() {
    const listening = new WebSocket.Server({
        host: '127.0.0.1',
        port: Number(target),
        perMessageDeflate: label === 'deflate' ? { threshold: 0 } : false,
        handleProtocols: (offered) => offered.has('chat.v1') ? 'chat.v1' : false,
    });
    listening.on('connection', (ws) => {
        ws.on('error', (error) => console.log(`error ${error.message}`));
        ws.on('close', (code, reason) => console.log(`closed ${code} ${reason}`));
        ws.on('message', (data, isBinary) => {
            const text = isBinary ? '' : data.toString();
            if (text === 'ping') {
                ws.once('pong', () => ws.send('pong from server'));
                ws.ping('from server');
            } else if (text === 'fragments') {
                for (let at = 0; at < FRAGMENTS.length; at += 4000) ws.send(FRAGMENTS.slice(at, at + 4000), { fin: false });
                ws.send('', { fin: true });
            } else if (text.startsWith('close ')) {
                const [code, ...reason] = text.split(' ').slice(1);
                ws.close(Number(code), reason.join(' '));
            } else {
                ws.send(data, { binary: isBinary });
            }
        });
    });
}

({ client, server })[mode]();
