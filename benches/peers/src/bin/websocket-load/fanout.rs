//! Messages of one client that go to all subscribers, the next once all have got the one before.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::epoll::Epoll;
use crate::frames::{self, Counter};
use crate::{Options, client, ready};

const SUBSCRIBE: &str = r#"{"op":"subscribe","topic":"bench","id":1}"#;
const PUBLISH: &str = r#"{"op":"publish","topic":"bench","data":"%"}"#;
const MESSAGE: &str = r#"{"op":"message","topic":"bench","data":"%"}"#;
/// Publishes that are not measured.
const WARM: usize = 3;
const BUFFER: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

struct Subscriber {
    stream: TcpStream,
    counter: Counter,
    /// Messages that it has got.
    got: usize,
}

/// Times since the message was sent.
struct Publish {
    first: Duration,
    last: Duration,
}

struct Load {
    epoll: Epoll,
    subscribers: Vec<Subscriber>,
    publisher: TcpStream,
    /// What is published, with a place for its data, and the bytes of them.
    template: String,
    data: usize,
    is_deflate: bool,
    /// The length of the first message, which all others have, if they are not compressed.
    length: Option<usize>,
    published: usize,
    bytes: u64,
}

impl Load {
    /// A text for the message: words that compress, without what JSON escapes, and other ones for
    /// each message.
    fn data(&self) -> String {
        let json = client::json(2 * self.data + 128, self.published as u64 * 7919 + 1);
        let text = json.replace(['"', '{', '}'], "'");
        text[11..11 + self.data].to_owned()
    }

    fn publish(&mut self, buffer: &mut [u8]) -> Publish {
        let message = self.template.replace('%', &self.data());
        self.published += 1;
        let begun = Instant::now();
        client::send(&self.publisher, message.as_bytes(), false);
        let (mut first, mut left) = (None, self.subscribers.len());
        while left > 0 {
            let events = self.epoll.wait(Duration::from_secs(1));
            assert!(begun.elapsed() < PATIENCE, "{left} subscribers lack message {message}");
            for index in 0..events {
                let (number, _) = self.epoll.event(index);
                let came = self.read(number, buffer);
                if came > 0 {
                    first.get_or_insert_with(|| begun.elapsed());
                    left -= came;
                }
            }
        }
        Publish { first: first.unwrap_or_default(), last: begun.elapsed() }
    }

    /// Reads what has come for a subscriber, or the publisher, and gives the number of messages.
    fn read(&mut self, number: usize, buffer: &mut [u8]) -> usize {
        let is_publisher = number == self.subscribers.len();
        let mut stream = match self.subscribers.get(number) {
            Some(one) => &one.stream,
            None => &self.publisher,
        };
        let read = match stream.read(buffer) {
            Ok(0) => panic!("the server closes a connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("cannot receive: {error}"),
        };
        assert!(read < buffer.len(), "more than one message of a subscriber");
        if is_publisher {
            return 0;
        }
        let one = &mut self.subscribers[number];
        let mut came = 0;
        one.counter.feed(&buffer[..read], |length| {
            came += 1;
            self.bytes += length as u64;
            let first = *self.length.get_or_insert(length);
            assert!(self.is_deflate || length == first, "a message of {length} bytes, not {first}");
        });
        one.got += came;
        assert!(one.got <= self.published, "a message came twice");
        came
    }
}

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort();
    values[values.len() / 2].as_nanos() as f64 / 1e3
}

pub fn run(options: &Options) {
    let count: usize = options.number("subscribers");
    let (size, publishes): (usize, usize) = (options.number("size"), options.number("publishes"));
    let is_deflate = options.has("deflate");
    let template = options.text("publish", PUBLISH).to_owned();
    assert!(template.contains('%'), "--publish lacks a % for the data");
    let subscribe = options.text("subscribe", SUBSCRIBE);

    let mut streams = client::connect_all(options, count + 1);
    let publisher = streams.pop().expect("one more");
    if !subscribe.is_empty() {
        for stream in &streams {
            client::send(stream, subscribe.as_bytes(), false);
            let (answer, is_deflated) = client::receive(stream);
            let answer = if is_deflated { frames::inflate(&answer, 1024) } else { answer };
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains(r#""op":"ok""#), "cannot subscribe: {answer}");
        }
    }
    let epoll = Epoll::new();
    let subscribers = streams.into_iter().enumerate().map(|(number, stream)| {
        epoll.add(&stream, number);
        Subscriber { stream, counter: Counter::default(), got: 0 }
    });
    let subscribers = subscribers.collect();
    epoll.add(&publisher, count);
    let data = size.checked_sub(MESSAGE.len() - 1).expect("a size that holds the message's names");
    let mut load = Load {
        epoll,
        subscribers,
        publisher,
        template,
        data,
        is_deflate,
        length: None,
        published: 0,
        bytes: 0,
    };

    let mut buffer = vec![0; BUFFER];
    for _ in 0..WARM {
        load.publish(&mut buffer);
    }
    ready(count);
    load.bytes = 0;
    let done: Vec<_> = (0..publishes).map(|_| load.publish(&mut buffer)).collect();
    let deliveries = count * publishes;
    println!(
        "{{\"publishes\":{publishes},\"deliveries\":{deliveries},\"first\":{:.1},\"last\":{:.1},\
         \"spread\":{:.1},\"bytes\":{:.1}}}",
        median(done.iter().map(|one| one.first).collect()),
        median(done.iter().map(|one| one.last).collect()),
        median(done.iter().map(|one| one.last - one.first).collect()),
        load.bytes as f64 / deliveries as f64,
    );
    // The figures of the server are taken before its connections end.
    ready(count);
}
