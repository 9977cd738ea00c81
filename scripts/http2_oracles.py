"""nghttp2 and PyPI's h2 as judges of what our server makes of conversations.

Called by http2_oracles.sh with the program of http2_oracles.c, the file that tests/http2_differential.rs has written,
and one for blocks that it reads. After each frame, what a judge tells and sends is compared with what ours tells and
sends, in the words of tests/http2_differential/told.rs. A difference is permitted by a row of PERMITTED.
"""

import collections
import json
import random
import subprocess
import sys
import zlib

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ALTSVC, PRIORITY_UPDATE = 0x0A, 0x10
ACK = END_STREAM = 1
END_HEADERS, PADDED, HAS_PRIORITY = 4, 8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS_MAX, LIST_MAX = 100, 64 * 1024

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frames(data):
    """The frames of bytes, and what is left."""
    found = []
    while len(data) >= 9:
        length = int.from_bytes(data[:3], "big")
        if len(data) < 9 + length:
            break
        stream = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
        found.append(Frame(data[3], data[4], stream, data[9 : 9 + length]))
        data = data[9 + length :]
    return found, data


def escape(data):
    return "".join(chr(b) if 0x20 <= b <= 0x7E and b != 0x5C else f"\\x{b:02x}" for b in data)


def fields_text(fields):
    """Fields in an order that does not depend on that of different names."""
    values = {}
    for name, value in fields:
        if (name, value) == (b"cookie", b""):
            continue
        known = values.setdefault(name, [])
        if known and name == b"cookie":
            known[-1] += b"; " + value
        else:
            known.append(value)
    return "".join(f" [{escape(name)}: {escape(value)}]" for name in sorted(values) for value in values[name])


def request_text(fields, ends):
    """A request, without what our heads have in another form."""
    first = {}
    for name, value in fields:
        first.setdefault(name, value)
    authority = first.get(b":authority", first.get(b"host", b"")).lower()
    length = ""
    if not ends and b"content-length" in first:
        digits = first[b"content-length"]
        length = f" of {int(digits) if digits.isdigit() else escape(digits)}"
    left = (b"host", b"content-length", b"expect")
    others = [(name, value) for name, value in fields if not name.startswith(b":") and name not in left]
    words = [escape(first.get(b":method", b"")), escape(authority), escape(first.get(b":path", b""))]
    return f"request {' '.join(words)}{length}{fields_text(others)}"


def body_text(data):
    if len(data) <= 40:
        return f"body {escape(data)}"
    return f"body {len(data)} bytes, CRC-32 {zlib.crc32(data):08x}"


def answer_to(stream):
    return b"x" * (3 + stream % 40)


class Step:
    """What came of a frame."""

    def __init__(self):
        self.events = []
        self.bodies = {}

    def tell(self, stream, text):
        self.events.append((stream, text))

    def body(self, stream, data):
        if data:
            self.bodies[stream] = self.bodies.get(stream, b"") + data

    def sorted(self):
        told = self.events + [(stream, body_text(data)) for stream, data in self.bodies.items()]
        return sorted(told)


class Wire:
    """What a judge sends, frame by frame."""

    def __init__(self):
        self.data = b""
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 1 << 32
        self.block = b""
        self.reset = set()

    def read(self, data, step):
        found, self.data = frames(self.data + data)
        answers = {}
        for frame in found:
            if frame.kind == DATA:
                answers[frame.stream] = answers.get(frame.stream, 0) + len(frame.payload)
            else:
                self.take(frame, step)
            if frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM:
                step.tell(frame.stream, "sends the end")
        for stream, length in answers.items():
            if length:
                step.tell(stream, f"sends {length} bytes")

    def take(self, frame, step):
        number = lambda at: int.from_bytes(frame.payload[at : at + 4], "big")
        if frame.kind in (HEADERS, CONTINUATION):
            self.block += frame.payload
            if frame.flags & END_HEADERS:
                fields = dict(self.decoder.decode(self.block, raw=True))
                self.block = b""
                step.tell(frame.stream, f"sends {escape(fields[b':status'])}")
        elif frame.kind == RST_STREAM:
            self.reset.add(frame.stream)
            step.tell(frame.stream, f"resets {number(0)}")
        elif frame.kind == SETTINGS and frame.flags & ACK:
            step.tell(0, "acknowledges")
        elif frame.kind == PING and frame.flags & ACK:
            step.tell(0, f"pongs {escape(frame.payload)}")
        elif frame.kind == GOAWAY:
            step.tell(0, f"leaves {number(4)}")


class Nghttp2:
    """The program of http2_oracles.c."""

    name = "nghttp2"

    def __init__(self, program):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) != ".\n":
            if not line:
                sys.exit(f"nghttp2 has ended at {command[:100]}")
            lines.append(line.split())
        return lines

    def begin(self):
        self.ask("C")
        self.wire = Wire()
        self.blocks = {}
        self.open = set()
        self.waiting = set()

    def step(self, data):
        step, over = Step(), False
        for word, *rest in self.ask(f"S {data.hex()}"):
            stream = int(rest[0]) if rest and word not in ("sends", "over") else 0
            if word == "begin":
                self.blocks[stream] = []
            elif word == "field":
                name, value = bytes.fromhex(rest[1]), bytes.fromhex(rest[2] if len(rest) > 2 else "")
                self.blocks[stream].append((name, value))
            elif word == "head":
                fields = self.blocks.pop(stream)
                if rest[1] == "1":
                    self.open.add(stream)
                    step.tell(stream, request_text(fields, rest[2] != "0"))
                else:
                    self.trailers = fields_text(fields)
            elif word == "data":
                step.body(stream, bytes.fromhex(rest[1] if len(rest) > 1 else ""))
            elif word == "end":
                step.tell(stream, f"ends{self.trailers_of(stream)}")
                self.waiting.add(stream)
            elif word == "reset":
                if stream in self.open:
                    step.tell(stream, f"reset {rest[1]}")
                self.open.discard(stream)
            elif word == "sends":
                self.wire.read(bytes.fromhex(rest[0]), step)
            elif word == "over":
                over = True
        ended = {stream for stream, text in step.events if text == "sends the end" or text.startswith("resets")}
        self.open -= ended
        return step.sorted(), over

    trailers = ""

    def trailers_of(self, _stream):
        found, self.trailers = self.trailers, ""
        return found


class H2:
    """The package `h2`."""

    name = "h2"

    def begin(self):
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.connection = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        values = {codes.MAX_CONCURRENT_STREAMS: STREAMS_MAX, codes.MAX_HEADER_LIST_SIZE: LIST_MAX}
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.connection.decoder.max_header_list_size = LIST_MAX
        self.connection.initiate_connection()
        self.wire = Wire()
        self.heads = set()
        self.open = set()
        self.trailers = {}
        self.answers = {}
        self.over = False

    def step(self, data):
        step = Step()
        try:
            for event in self.connection.receive_data(data):
                self.take(event, step)
        except h2.exceptions.ProtocolError:
            self.over = True
        if not self.over:
            self.send()
        self.wire.read(self.connection.data_to_send(), step)
        ended = {stream for stream, text in step.events if text == "sends the end" or text.startswith("resets")}
        self.open -= ended
        return step.sorted(), self.over

    def take(self, event, step):
        events = h2.events
        if isinstance(event, events.RequestReceived):
            ends = event.stream_ended is not None
            self.open.add(event.stream_id)
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            if (b":method", b"HEAD") in fields:
                self.heads.add(event.stream_id)
            step.tell(event.stream_id, request_text(fields, ends))
        elif isinstance(event, events.TrailersReceived):
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            self.trailers[event.stream_id] = fields_text(fields)
        elif isinstance(event, events.DataReceived):
            step.body(event.stream_id, event.data)
            if event.flow_controlled_length:
                self.acknowledge(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.StreamEnded):
            stream = event.stream_id
            step.tell(stream, f"ends{self.trailers.pop(stream, '')}")
            self.answers[stream] = None
        elif isinstance(event, events.StreamReset):
            if event.stream_id in self.open and event.remote_reset:
                step.tell(event.stream_id, f"reset {int(event.error_code)}")
                self.open.discard(event.stream_id)
            self.answers.pop(event.stream_id, None)
        elif isinstance(event, events.ConnectionTerminated):
            self.over = True

    def acknowledge(self, length, stream):
        try:
            self.connection.acknowledge_received_data(length, stream)
        except (h2.exceptions.StreamClosedError, h2.exceptions.ProtocolError):
            pass

    def send(self):
        for stream, left in list(self.answers.items()):
            try:
                if left is None:
                    is_head = stream in self.heads
                    self.connection.send_headers(stream, [(":status", "200")], end_stream=is_head)
                    left = b"" if is_head else answer_to(stream)
                    self.answers[stream] = left
                room = self.connection.local_flow_control_window(stream)
                part = left[: max(room, 0)]
                if part:
                    self.connection.send_data(stream, part, end_stream=part == left)
                self.answers[stream] = left[len(part) :]
                if not self.answers[stream]:
                    del self.answers[stream]
            except h2.exceptions.ProtocolError:
                self.answers.pop(stream, None)


MALFORMED = {
    "h2_field_name", "h2_field_value", "connection_field", "pseudo_unknown", "pseudo_repeated", "pseudo_misplaced",
    "pseudo_missing", "pseudo_value", "host_differs", "h2_length_invalid", "length_differs", "trailers_unended",
}
REFUSED = {"host", "host_missing", "host_repeated", "target", "expectation", "too_many_fields"}


# What ours refuses in a block and others need not: a third change of the table's size (RFC 7541, section 4.2, has two).
STRICTER = {"ResizeMisplaced"}


class Difference:
    """A frame of which ours and a judge tell different things."""

    def __init__(self, seen, told, why, over, gone):
        self.seen, self.why, self.over = seen, why or "", over
        self.frame = seen[-1] if seen else Frame(None, 0, 0, b"")
        self.ours = [event for event in told[0] if event not in told[1]]
        self.theirs = [event for event in told[1] if event not in told[0]]
        self.is_gone = self.frame.stream in gone

    def ours_says(self, text):
        return any(event[1].startswith(text) for event in self.ours)

    def theirs_says(self, text):
        return any(event[1].startswith(text) for event in self.theirs)

    def is_kind(self, *kinds):
        return self.frame.kind in kinds

    def is_silent(self):
        """Whether ours has found nothing wrong, and tells nothing that the judge does not."""
        return not self.ours and not self.why

    def has_own_dependency(self):
        """Whether a frame makes its stream depend on itself, by the priorities of RFC 7540."""
        for frame in self.seen:
            payload = frame.payload
            if frame.kind == HEADERS and frame.flags & HAS_PRIORITY:
                payload = payload[1:] if frame.flags & PADDED else payload
            elif frame.kind != PRIORITY:
                continue
            if len(payload) >= 4 and int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == frame.stream:
                return True
        return False

    def differs_by_target(self):
        """Whether nothing but the target of a request is another one."""
        plain = lambda events: [(stream, text.split(" ")[:3] + text.split(" ")[4:]) for stream, text in events]
        return self.ours_says("request") and plain(self.ours) == plain(self.theirs)

    def streams(self):
        return {event[0] for event in self.ours + self.theirs}


class Permitted:
    """A difference that is permitted: with the sections, of RFC 9113 if no other is named, that demand or allow what
    ours does; what is not compared any more (the streams on which it was, or all); and a judge, if it is of one."""

    def __init__(self, scope, section, holds, judge=None, valid=False):
        self.scope, self.section, self.holds, self.judge, self.valid = scope, section, holds, judge, valid
        self.met = False


def both_leave(found):
    return found.over == (True, True) and found.ours_says("leaves") and found.theirs_says("leaves")


def ours_leaves(found, *rules):
    return found.over == (True, False) and found.why in rules


def theirs_leaves(found):
    return found.over == (False, True) and found.theirs_says("leaves")


OF_STREAMS = MALFORMED | REFUSED | {"frame_size", "stream_ended", "window_increment"}
PERMITTED = [
    Permitted(
        "end",
        "6.2: padding may be as long as all that is left. hyperframe takes it for too long",
        lambda found: found.is_kind(HEADERS)
        and found.frame.flags & PADDED
        and found.frame.payload[:1] == bytes([len(found.frame.payload) - 1 & 0xFF])
        and theirs_leaves(found),
        judge="h2",
        valid=True,
    ),
    Permitted("end", "5.4.1, 7: of two faults or two codes, either may be told", both_leave),
    Permitted(
        "end",
        "5.4.1: an error of a stream may be taken for one of the connection",
        lambda found: theirs_leaves(found) and found.why in OF_STREAMS,
    ),
    Permitted("end", "3.4: SETTINGS come first", lambda found: ours_leaves(found, "settings_missing")),
    Permitted(
        "end", "4.2: a frame that is too long is known by its head", lambda found: ours_leaves(found, "frame_too_large")
    ),
    Permitted(
        "end", "5.1: a frame on a closed stream may cost the connection", lambda found: ours_leaves(found, "stream_ended")
    ),
    Permitted(
        "end",
        "5.1, 5.1.1: what a stream cannot get that is idle costs the connection",
        lambda found: ours_leaves(found, "stream_idle", "stream_parity"),
    ),
    Permitted(
        "end",
        "6.10: a part of a block is where it belongs",
        lambda found: ours_leaves(found, "continuation_unexpected", "block_interrupted"),
    ),
    Permitted("end", "8.4: a server is not pushed to", lambda found: ours_leaves(found, "push_promise")),
    Permitted(
        "end",
        "RFC 9218, 7.1: PRIORITY_UPDATE is of the connection, and has a stream",
        lambda found: found.is_kind(PRIORITY_UPDATE) and ours_leaves(found, "frame_stream", "frame_size"),
    ),
    Permitted("end", "RFC 8441, 3: the setting cannot be taken back", lambda found: ours_leaves(found, "setting_value")),
    Permitted(
        "end",
        "6.9.2: a setting that makes a window too large costs the connection",
        lambda found: found.is_kind(SETTINGS) and ours_leaves(found, "window_overflow"),
    ),
    Permitted(
        "streams",
        "8.1.1: a malformed message costs its stream",
        lambda found: found.why in MALFORMED and (found.ours_says("resets 1") or found.theirs_says("body")),
    ),
    Permitted(
        "streams",
        "8.1.1: a server may answer what is malformed",
        lambda found: found.why in REFUSED and found.ours_says("sends 4"),
    ),
    Permitted(
        "end",
        "4.3: a block is decoded when it is whole",
        lambda found: found.is_kind(HEADERS, CONTINUATION)
        and not found.frame.flags & END_HEADERS
        and found.is_silent(),
    ),
    Permitted(
        "end",
        "6.5.3: nothing is said of SETTINGS that are acknowledged once more",
        lambda found: found.is_kind(SETTINGS) and found.frame.flags & ACK and found.is_silent(),
    ),
    Permitted(
        "end",
        "5.1: WINDOW_UPDATE may come for a closed stream, and is of no use",
        lambda found: found.is_kind(WINDOW_UPDATE) and found.is_silent() and theirs_leaves(found),
    ),
    Permitted(
        "end",
        "5.3.2: the priorities of RFC 7540 are not looked at",
        lambda found: found.has_own_dependency() and not found.why,
    ),
    Permitted("end", "6.8: who is told that the other leaves may leave, too", lambda found: found.is_kind(GOAWAY)),
    Permitted(
        "streams",
        "5.1: a frame on a closed stream may be ignored",
        lambda found: found.is_gone and found.is_silent() and found.theirs_says("resets"),
    ),
    Permitted(
        "end",
        "5.1, 5.4.1: the same, where a judge leaves",
        lambda found: found.is_gone and found.is_silent() and theirs_leaves(found),
    ),
    Permitted(
        "end",
        "6.9.2: windows of closed streams do not grow. The judges keep some of these for a while",
        lambda found: found.is_kind(SETTINGS)
        and not found.why
        and (found.theirs_says("resets 3") or found.theirs_says("leaves 3")),
    ),
    Permitted(
        "end",
        "RFC 7838, 4: a server ignores ALTSVC. h2 reads it",
        lambda found: found.is_kind(ALTSVC) and found.is_silent() and theirs_leaves(found),
        judge="h2",
    ),
    Permitted(
        "end",
        "RFC 9110, 6.5.1: trailers mean nothing to framing and routing, and are passed on apart from fields",
        lambda found: any(
            text.startswith("ends") and ("[content-length:" in text or "[host:" in text) for _, text in found.ours
        ),
    ),
    Permitted(
        "streams",
        "RFC 9110, 10.1.4: trailers may be asked for in any case, and more than once",
        lambda found: any("[te: trailers]" in text for _, text in found.ours)
        and any("[te: " in text or text == "resets 1" for _, text in found.theirs),
    ),
    Permitted(
        "step", "RFC 3986, 6.2.2: ours tells a target in normal form", lambda found: found.differs_by_target()
    ),
]


def main():
    program, written, blocks = sys.argv[1:]
    judges = [Nghttp2(program), H2()]
    counts = collections.Counter()
    with open(blocks, "w") as out:
        for line in open(written):
            case = json.loads(line)
            if "blocks" in case:
                check_blocks(case, judges[0], out)
                counts["blocks"] += len(case["blocks"])
                continue
            for judge in judges:
                counts["valid" if case["valid"] else "mutated"] += 1
                compare(case, judge)
    needed = sum(row.met for row in PERMITTED)
    print(f"{counts['valid']} valid and {counts['mutated']} mutated conversations, {counts['blocks']} blocks:")
    print(f"all agree but for what is permitted ({needed} of {len(PERMITTED)} kinds of differences were met)")


def compare(case, judge):
    """Compares a conversation, frame by frame."""
    judge.begin()
    gone, left_out, seen = set(), set(), []
    for at, ours in enumerate(case["steps"]):
        data = bytes.fromhex(ours["bytes"])
        seen += frames(data.removeprefix(PREFACE))[0]
        events, over = judge.step(data)
        # What has failed is told on the wire.
        told = [tuple(event) for event in ours["events"] if event[1] != "fails"]
        is_compared = lambda event: event[0] not in left_out
        told, events = list(filter(is_compared, told)), list(filter(is_compared, events))
        if told != events or ours["over"] != over:
            difference = Difference(seen, (told, events), ours["why"], (ours["over"], over), gone | left_out)
            scope = permit(difference, judge, case["valid"])
            if scope is None:
                fail(case, judge, seen, difference)
            if scope == "end":
                return
            if scope == "streams":
                left_out |= difference.streams()
        if over or ours["over"]:
            return
        gone |= {stream for stream, text in told if text.startswith(("ends", "reset"))}


def permit(difference, judge, valid):
    """What is not compared any more after a difference; None if it is not permitted."""
    for row in PERMITTED:
        if (row.valid or not valid) and row.judge in (None, judge.name) and row.holds(difference):
            # What is about one stream says nothing of others.
            if row.scope == "streams" and difference.streams() - {difference.frame.stream}:
                return None
            row.met = True
            return row.scope
    return None


def fail(case, judge, seen, difference):
    """Shows a difference that is not permitted."""
    kind = "a valid" if case["valid"] else "a mutated"
    print(f"{judge.name} does not agree on {kind} conversation, seed {case['seed']}, behind these frames:")
    for frame in seen:
        head = f"kind {frame.kind:#x} flags {frame.flags:#x} stream {frame.stream} len {len(frame.payload)}"
        print(f"    {head}: {frame.payload[:100].hex(' ')}")
    for name, events, over in (("ours", difference.ours, 0), (judge.name, difference.theirs, 1)):
        end = ", at its end" if difference.over[over] else ""
        print(f"{name} alone{end}:", *(f"\n    {stream} {text}" for stream, text in events))
    sys.exit(f"ours has found this rule broken: {difference.why or 'none'}")


def bytes_of(fields):
    return [(bytes.fromhex(name), bytes.fromhex(value)) for name, value in fields]


def check_blocks(case, nghttp2, out):
    """Reads blocks of our encoder with both judges, and writes blocks of theirs for our decoder."""
    decoder, encoder = hpack.Decoder(), hpack.Encoder()
    nghttp2.ask("I")
    nghttp2.ask("D")
    written = {"h2": [], "nghttp2": []}
    for block in case["blocks"]:
        fields = bytes_of(block["fields"])
        data = bytes.fromhex(block["block"])
        for name, found in (("hpack", inflate(decoder, data)), ("nghttp2", nghttp2_inflate(nghttp2, data))):
            if found != fields:
                sys.exit(f"{name} reads {found}\nand not {fields}\nin {data.hex()} of seed {case['seed']}")
        if block["size"] is not None:
            size = min(block["size"], 4096)
            encoder.header_table_size = size
            nghttp2.ask(f"Z {size}")
        written["h2"].append(encoder.encode(fields).hex())
        words = " ".join(f"{name.hex()} {value.hex() or '-'}" for name, value in fields)
        [reply] = nghttp2.ask(f"F {words}")
        written["nghttp2"].append(reply[1] if len(reply) > 1 else "")
    for blocks in written.values():
        pairs = zip(blocks, case["blocks"])
        json.dump({"blocks": [{"block": data, "fields": block["fields"]} for data, block in pairs]}, out)
        out.write("\n")
    check_broken(case, decoder, nghttp2)


def check_broken(case, decoder, nghttp2):
    """A block with a few changed bytes, after the others."""
    broken = case["broken"]
    data, error = bytes.fromhex(broken["block"]), broken["error"]
    fields = None if broken["fields"] is None else bytes_of(broken["fields"])
    for name, found in (("hpack", inflate(decoder, data)), ("nghttp2", nghttp2_inflate(nghttp2, data))):
        if found != fields and not (found is not None and error in STRICTER):
            sys.exit(f"{name} reads {found} and ours {error or fields}\nin {data.hex()} of seed {case['seed']}")


def inflate(decoder, data):
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(data, raw=True)]
    except hpack.HPACKError:
        return None


def nghttp2_inflate(nghttp2, data):
    lines = nghttp2.ask(f"B {data.hex()}")
    if any(line[0] == "fails" for line in lines):
        return None
    # An empty value is no word.
    pairs = (line[1:] + [""] for line in lines)
    return [(bytes.fromhex(pair[0]), bytes.fromhex(pair[1])) for pair in pairs]


if __name__ == "__main__":
    main()
