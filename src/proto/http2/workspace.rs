//! Memory that the connections of a worker share while they read heads.

use std::collections::VecDeque;

use super::request::HeadInfo;
use super::stream::{Lists, Stream, Turn};
use crate::proto::http::RequestHead;

/// Streams that are kept to be used again.
const STREAMS_MAX: usize = 1024;
/// Lists of streams that are kept, and how many streams they may have room for.
const LISTS_MAX: (usize, usize) = (256, 256);

/// Bytes that are kept of each part for the next head.
const KEPT_MAX: usize = 16 * 1024;

/// Memory for one head at a time, which each is given empty, and that
/// of streams that are over, which are forgotten.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Strings that were encoded.
    pub(super) text: Vec<u8>,
    /// The parts of a cookie, put together.
    pub(super) cookie: Vec<u8>,
    /// The path with its query.
    pub(super) path: Vec<u8>,
    /// Streams that can send, in their order.
    pub(super) ready: VecDeque<(Turn, u32)>,
    #[expect(clippy::vec_box, reason = "they go from one connection to another")]
    boxes: Vec<Box<Stream>>,
    lists: Vec<Lists>,
    memo: Memo,
    /// Connections that were numbered.
    numbered: u64,
}

/// The last head that was read, so that the same block on the same connection is not read again:
/// a client that asks for the same over and over sends a few bytes that refer to its table.
#[derive(Debug, Default)]
struct Memo {
    /// The connection, and how often its table had changed: with the same table, the same block
    /// says the same.
    owner: Option<(u64, u64)>,
    block: Vec<u8>,
    head: RequestHead,
    info: HeadInfo,
}

/// Blocks of more bytes are not remembered: they are not the ones that repeat.
const MEMO_MAX: usize = 128;

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

    /// A number for a connection that no other one has.
    pub(super) const fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// What a block says, if it is the last one that was read of this connection and its table has
    /// not changed since.
    pub(super) fn recall(
        &self,
        owner: (u64, u64),
        block: &[u8],
        head: &mut RequestHead,
    ) -> Option<HeadInfo> {
        let memo = &self.memo;
        if memo.owner != Some(owner) || *memo.block != *block {
            return None;
        }
        head.clone_from(&memo.head);
        Some(memo.info)
    }

    /// Remembers what a block says.
    pub(super) fn remember(
        &mut self,
        owner: (u64, u64),
        block: &[u8],
        (head, info): (&RequestHead, HeadInfo),
    ) {
        let memo = &mut self.memo;
        memo.owner = None;
        if block.len() <= MEMO_MAX && head.size() <= KEPT_MAX {
            memo.owner = Some(owner);
            memo.block.clear();
            memo.block.extend_from_slice(block);
            memo.head.clone_from(head);
            memo.info = info;
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

    /// Memory for lists of streams.
    pub(super) fn take_lists(&mut self) -> Lists {
        self.lists.pop().unwrap_or_default()
    }

    /// Lists are empty.
    pub(super) fn give_lists(&mut self, lists: Lists) {
        debug_assert!(lists.is_empty(), "streams are given back one by one");
        if self.lists.len() < LISTS_MAX.0 && lists.capacity() <= LISTS_MAX.1 {
            self.lists.push(lists);
        }
    }
}
