"""Drives the page that tries WebSockets in headless Chromium. Run by websocket_page.sh, which says what for.

    websocket_page.py PROGRAM BROWSER FOLDER

Chromium is driven by its DevTools protocol over two pipes: JSON objects that end with a zero byte.
"""

import base64
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 20
# The registry asks clients to come back 5 to 30 seconds after a restart, and sockets are closed over 10 seconds.
RESTART_PATIENCE = 75
DESKTOP = {"width": 1100, "height": 900, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}


class Failure(Exception):
    pass


class Browser:
    """A process of Chromium."""

    def __init__(self, program, folder):
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        # Numbers that the shell does not use itself.
        ours = [fcntl.fcntl(commands, fcntl.F_DUPFD, 20), fcntl.fcntl(answers, fcntl.F_DUPFD, 20)]
        os.close(commands), os.close(answers)
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--remote-debugging-pipe",
            "--no-first-run", "--disable-background-networking", "--disable-extensions", "--hide-scrollbars",
            f"--user-data-dir={folder}/browser", "about:blank",
        ]
        shell = 'exec "$@" 3<&%d 4>&%d %d<&- %d>&-' % (*ours, *ours)
        with open(f"{folder}/browser.log", "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", shell, "browser", program, *flags], pass_fds=ours, stdout=log, stderr=log,
                start_new_session=True)
        for one in ours:
            os.close(one)
        self.changed = threading.Condition()
        self.results, self.events, self.last, self.has_ended = {}, [], 0, False
        self.tabs = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        waiting = b""
        while part := os.read(self.answers, 1 << 16):
            *messages, waiting = (waiting + part).split(b"\0")
            with self.changed:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self.results[message["id"]] = message
                    else:
                        self.events.append(message)
                self.changed.notify_all()
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()

    def call(self, method, session=None, **parameters):
        self.last += 1
        number = self.last
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.commands, text):]
        with self.changed:
            if not self.changed.wait_for(lambda: self.has_ended or number in self.results, 60):
                raise Failure(f"no answer to {method}")
            if number not in self.results:
                raise Failure("the browser has ended")
            result = self.results.pop(number)
        if "error" in result:
            raise Failure(f"{method}: {result['error']}")
        return result["result"]

    def end(self):
        try:
            self.call("Browser.close")
            self.process.wait(20)
        except (Failure, OSError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Tab:
    """A page of the browser."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.tabs.append(self)
        target = browser.call("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"]:
            self.call(f"{domain}.enable")
        self.look(DESKTOP, "light")
        self.call("Page.navigate", url=url)
        for name in ["echo", "topics"]:
            self.until(state(name, "open"))

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def events(self, method):
        with self.browser.changed:
            return [one["params"] for one in self.browser.events
                    if one["method"] == method and one.get("sessionId") == self.session]

    def run(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failure(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, script, patience=PATIENCE):
        ends = time.monotonic() + patience
        while not (value := self.run(script)):
            if time.monotonic() > ends:
                raise Failure(f"not within {patience} s: {script}")
            time.sleep(0.03)
        return value

    def look(self, screen, scheme):
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def shoot(self, path):
        """A picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def fill(self, name, value):
        self.run(f"document.getElementById({json.dumps(name)}).value = {json.dumps(value)}")

    def submit(self, form):
        self.run(f"document.getElementById({json.dumps(form)}).requestSubmit()")

    def click(self, selector):
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def text(self, name):
        return self.run(f"document.getElementById({json.dumps(name)}).textContent")

    def publish(self, topic, payload, kind="text", retain=False):
        self.fill("topic", topic)
        self.fill("payload", payload)
        self.fill("payload-kind", kind)
        self.run(f"document.getElementById('retain').checked = {json.dumps(retain)}")
        self.submit("publish-form")

    def subscribe(self, filter):
        self.fill("filter", filter)
        self.submit("subscribe-form")

    def sees(self, *words, patience=PATIENCE):
        """Waits for a message with all words."""
        self.until(f"""[...document.querySelectorAll('#messages li')].some((line) =>
            {json.dumps(words)}.every((word) => line.textContent.includes(word)))""", patience)


def state(name, wanted):
    return f"document.getElementById('{name}')?.dataset.state === '{wanted}'"


class Server:
    """The program with the built-in configuration on ports that are free."""

    def __init__(self, program, folder):
        self.program, self.folder, self.ports, self.process = program, folder, {}, None
        held = []
        text = pathlib.Path("src/config/embedded.toml").read_text()

        def free(found):
            port = found.group(1)
            if port not in self.ports:
                one = socket.socket()
                one.bind(("127.0.0.1", 0))
                held.append(one)
                self.ports[port] = one.getsockname()[1]
            return f"127.0.0.1:{self.ports[port]}"

        text = re.sub(r"127\.0\.0\.1:(\d+)", free, text)
        for one in held:
            one.close()
        # Two workers: tabs are served by either, and topics have to pass between them.
        (folder / "a.toml").write_text("[runtime]\nworkers = 2\npin = false\n" + text)

    def start(self):
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--config", self.folder / "a.toml"], stdout=log, stderr=log)
        for port in [self.ports["8080"], self.ports["8443"]]:
            ends = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    if self.process.poll() is not None or time.monotonic() > ends:
                        raise Failure("the server does not start:\n" + (self.folder / "server.log").read_text())
                    time.sleep(0.05)

    def stop(self):
        """Lets it drain."""
        self.process.terminate()
        code = self.process.wait(40)
        if code != 0:
            raise Failure(f"the drained server ended with {code}")


passed = 0


def check(name, holds):
    global passed
    if not holds:
        raise Failure(name)
    passed += 1


def check_handshakes(scheme, tab):
    """By which protocol Chromium opened the sockets."""
    found = {one["requestId"]: one["response"] for one in tab.events("Network.webSocketHandshakeResponseReceived")}
    urls = {one["requestId"]: one["url"] for one in tab.events("Network.webSocketCreated")}
    check(f"{scheme}: two sockets", len(urls) == 2 and set(urls) == set(found))
    statuses = sorted(response["status"] for response in found.values())
    if scheme == "http":
        check(f"{scheme}: sockets by upgrades, not {statuses}", statuses == [101, 101])
        check(f"{scheme}: the page by HTTP/1.1", tab.text("page-protocol") == "HTTP/1.1")
        return "upgrades of HTTP/1.1 (status 101)"
    check(f"{scheme}: the page by HTTP/2", tab.text("page-protocol") == "HTTP/2")
    if statuses != [200, 200]:
        return f"NOTE: not by extended CONNECT: status {statuses}"
    fields = [{name.lower() for name in response["headers"]} for response in found.values()]
    check(f"{scheme}: no field of an upgrade", not any("sec-websocket-accept" in one for one in fields))
    return "extended CONNECT of HTTP/2 (status 200)"


def check_echo(scheme, tab):
    tab.fill("send-text", "round and round")
    tab.submit("send-form")
    tab.until("document.getElementById('echo-told').textContent.endsWith(': round and round')")
    told = []
    for wanted, name in [(16, "16 B"), (65536, "64 KiB"), (1024, "1 KiB")]:
        tab.fill("burst-size", str(wanted))
        tab.submit("burst-form")
        tab.until(f"document.getElementById('echo-told').textContent.startsWith('100 messages of {name} ')")
        told.append(tab.text("echo-told"))
    tab.until("document.getElementById('rt-count').textContent === '301'")
    for name in ["last", "min", "p50", "p99", "max"]:
        check(f"{scheme}: a time {name}", re.fullmatch(r"[\d.]+ (\u00b5s|ms|s)", tab.text(f"rt-{name}")))
    check(f"{scheme}: bars", tab.run("document.querySelectorAll('#chart rect').length") > 1)
    told.append(f"p50 {tab.text('rt-p50')}, p99 {tab.text('rt-p99')}")
    return told


def check_topics(scheme, url, browser, first, second):
    active = "[...document.querySelectorAll('#filters li.active')].map((one) => one.textContent.slice(0, -1)).join()"
    for tab in [first, second]:
        tab.until(f"{active} === 'chat/#'")
    first.publish("chat/text", f"<b>hello</b> by {scheme} \u20ac")
    for tab in [first, second]:
        tab.sees("chat/text", f"<b>hello</b> by {scheme} \u20ac", "text")
    check(f"{scheme}: a payload is no markup", second.run("document.querySelector('#messages code b') === null"))
    kept = f"chat/kept/{scheme}"
    second.publish(kept, '{"price": 1.50, "of": ["a"]}', "json", retain=True)
    first.sees(kept, '{"price":1.5,"of":["a"]}', "JSON")
    second.publish("chat/bad", '{"price"', "json")
    second.until("document.getElementById('topics-told').textContent.startsWith('The payload is not JSON')")
    third = Tab(browser, url)
    third.sees(kept, "retained")
    check(f"{scheme}: what was not retained is not there", "chat/text" not in third.text("messages"))
    # What is retained ends.
    third.publish(kept, "", retain=True)
    first.sees(kept, "empty")
    # Filters that are wrong, and one more that is right.
    first.subscribe("a/#/b")
    first.until("document.getElementById('topics-told').textContent.includes('invalid_filter')")
    first.subscribe("news/+")
    first.until(f"{active} === 'chat/#,news/+'")
    third.publish("news/today", "rain")
    third.until("document.getElementById('topics-told').textContent === 'Published to news/today.'")
    first.sees("news/today", "rain")
    first.click("#filters li:last-child button")
    first.until(f"{active} === 'chat/#'")
    # More than the page keeps.
    third.fill("topic", "chat/many")
    third.run("""for (let number = 0; number < 300; number += 1) {
        document.getElementById('payload').value = `number ${number}`;
        document.getElementById('publish-form').requestSubmit();
    }""")
    first.sees("number 299")
    check(f"{scheme}: 200 messages are kept", first.run("document.querySelectorAll('#messages li').length") == 200)
    check(f"{scheme}: the page says so", "the last 200 are here" in first.text("message-counts"))
    # Off and on again by hand.
    third.click("#topics .switch")
    third.until(state("topics", "closed"))
    check(f"{scheme}: closed as asked", third.run("document.querySelector('#topics .why').textContent").startswith("1000"))
    check(f"{scheme}: nothing can be published", third.run("document.querySelector('#publish-form button').disabled"))
    third.click("#topics .switch")
    third.until(f"{state('topics', 'open')} && {active} === 'chat/#'")
    return third


def check_form(scheme, tab):
    """What holds without a look at it: names of controls, width, requests."""
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    controls = [one for one in nodes if one.get("role", {}).get("value") in
                ["button", "textbox", "combobox", "checkbox", "log", "img", "region"]]
    nameless = [one["role"]["value"] for one in controls if not one.get("name", {}).get("value")]
    check(f"{scheme}: controls with names ({len(controls)})", len(controls) > 12 and not nameless)
    for screen in [PHONE, DESKTOP]:
        tab.look(screen, "light")
        wide = tab.run("document.documentElement.scrollWidth - innerWidth")
        check(f"{scheme}: {wide} pixels too wide at {screen['width']}", wide <= 0)


def check_errors(scheme, tab, start):
    """Nothing was loaded from elsewhere, and nothing failed but connections while the server was away."""
    for one in tab.events("Network.requestWillBeSent"):
        url = one["request"]["url"]
        check(f"{scheme}: a request for {url}", url.startswith((start, "data:")))
    check(f"{scheme}: exceptions", not tab.events("Runtime.exceptionThrown"))
    check(f"{scheme}: the console", not tab.events("Runtime.consoleAPICalled"))
    for one in tab.events("Log.entryAdded"):
        entry = one["entry"]
        check(f"{scheme}: {entry['text']}", "WebSocket connection to" in entry["text"] and entry["source"] != "security")


def shoot(folder, scheme, tab):
    tab.publish("chat/team/lunch", "Soup or sandwiches?", retain=True)
    tab.publish("chat/sensors/7", '{"celsius": 21.5, "humidity": 0.43, "battery": "ok"}', "json")
    tab.sees("chat/sensors/7")
    for screen_name, screen in [("desktop", DESKTOP), ("phone", PHONE)]:
        for look in ["light", "dark"]:
            tab.look(screen, look)
            tab.run("dispatchEvent(new Event('resize')); new Promise((done) => setTimeout(done, 150))")
            tab.shoot(folder / f"{scheme}-{screen_name}-{look}.png")
    tab.look(DESKTOP, "light")


def main():
    program, browser_program, pictures = sys.argv[1:]
    pictures = pathlib.Path(pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp())
    server, browser = Server(program, folder), None
    code = 0
    try:
        server.start()
        browser = Browser(browser_program, folder)
        all_tabs = {}
        for scheme, port in [("http", "8080"), ("https", "8443")]:
            url = f"{scheme}://127.0.0.1:{server.ports[port]}/ws"
            tabs = [Tab(browser, url), Tab(browser, url)]
            for tab in tabs:
                by = check_handshakes(scheme, tab)
            print(f"{scheme}: sockets by {by}")
            for told in check_echo(scheme, tabs[0]):
                print(f"{scheme}: {told}")
            tabs.append(check_topics(scheme, url, browser, *tabs))
            check_form(scheme, tabs[0])
            shoot(pictures, scheme, tabs[0])
            all_tabs[scheme] = tabs
        # Tabs over one protocol and the other have the same topics.
        all_tabs["http"][0].publish("chat/across", "from HTTP/1.1")
        all_tabs["https"][1].sees("chat/across", "from HTTP/1.1")

        server.stop()
        began = time.monotonic()
        for scheme, tabs in all_tabs.items():
            for tab in tabs:
                for name in ["echo", "topics"]:
                    # A first attempt may have failed since then: nobody was there.
                    tab.until(state(name, "waiting"))
                    found = re.search(name + r"closed, (\d+)[^;]*; attempt 1 in ([\d.]+) s", tab.text("events"))
                    check(f"{scheme}: {name} was closed for a restart: {found}", found and found[1] == "1012")
                    check(f"{scheme}: {name} comes back {found[2]} s later", 5 <= float(found[2]) <= 30)
        waiting = all_tabs["https"][0]
        waiting.look(DESKTOP, "light")
        waiting.shoot(pictures / "https-restart.png")
        server.start()
        for scheme, tabs in all_tabs.items():
            for tab in tabs:
                for name in ["echo", "topics"]:
                    tab.until(state(name, "open"), RESTART_PATIENCE)
        print(f"restart: all sockets were open again {time.monotonic() - began:.0f} s later")
        for scheme, tabs in all_tabs.items():
            tabs[0].publish("chat/back", f"{scheme} again")
            tabs[1].sees("chat/back", f"{scheme} again")
            start = tabs[0].run("location.href")
            for tab in tabs:
                check_errors(scheme, tab, start)
        print(f"{passed} checks passed; pictures are in {pictures}")
    except (Failure, subprocess.TimeoutExpired) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        for number, tab in enumerate(browser.tabs if browser else []):
            print(f"\n-- tab {number} --\n{tab.run('document.body.innerText')}", file=sys.stderr)
        code = 1
    finally:
        if browser:
            browser.end()
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


main()
