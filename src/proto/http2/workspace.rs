//! Memory that the connections of a worker share while they read heads.

use super::stream::{List, Stream};

/// Streams that are kept to be used again.
const STREAMS_MAX: usize = 1024;
/// Lists of streams that are kept, and how many streams they may have room for.
const LISTS_MAX: (usize, usize) = (256, 256);

/// Bytes that are kept of each part for the next head.
const KEPT_MAX: usize = 16 * 1024;

/// Memory for one head at a time, which each is given empty (see [`Workspace::clear`]), and that
/// of streams that are over, which are forgotten.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Strings that were encoded.
    pub(super) text: Vec<u8>,
    /// The parts of a cookie, put together.
    pub(super) cookie: Vec<u8>,
    /// The path with its query.
    pub(super) path: Vec<u8>,
    boxes: List,
    lists: Vec<List>,
}

impl Workspace {
    /// Forgets what the last head has left.
    pub(super) fn clear(&mut self) {
        for part in [&mut self.text, &mut self.cookie, &mut self.path] {
            part.clear();
            if part.capacity() > KEPT_MAX {
                *part = Vec::new();
            }
        }
    }

    /// Memory for a stream.
    pub(super) fn take_box(&mut self, stream: Stream) -> Box<Stream> {
        match self.boxes.pop() {
            Some(mut spare) => {
                *spare = stream;
                spare
            }
            None => Box::new(stream),
        }
    }

    /// A stream is over: what it holds is freed at once.
    pub(super) fn give_box(&mut self, mut stream: Box<Stream>) {
        if self.boxes.len() < STREAMS_MAX {
            stream.forget();
            self.boxes.push(stream);
        }
    }

    /// Memory for a list of streams.
    pub(super) fn take_list(&mut self) -> List {
        self.lists.pop().unwrap_or_default()
    }

    /// A list is empty.
    pub(super) fn give_list(&mut self, list: List) {
        debug_assert!(list.is_empty(), "streams are given back one by one");
        if self.lists.len() < LISTS_MAX.0 && list.capacity() <= LISTS_MAX.1 {
            self.lists.push(list);
        }
    }
}
