//! The texts of segments, each kept once and known by a number.

use std::collections::HashMap;
use std::rc::Rc;

use super::{map_bytes, shrink_map};

/// Numbers of texts. A text is kept as long as it is used.
#[derive(Debug, Default)]
pub(super) struct Segments {
    numbers: HashMap<Rc<str>, u32>,
    texts: Vec<Option<Used>>,
    free: Vec<u32>,
    /// Bytes of the texts.
    bytes: usize,
}

/// Bytes of memory that a text costs beside its own: the counts of its handles.
const TEXT_OVERHEAD: usize = 16;

#[derive(Debug)]
struct Used {
    text: Rc<str>,
    times: u32,
}

impl Segments {
    /// Bytes of memory that all take.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.texts.capacity() * size_of::<Option<Used>>() + self.free.capacity() * 4;
        self.bytes + lists + map_bytes(&self.numbers)
    }

    /// The number of a text, if it is used.
    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// The number of a text, which is used once more.
    pub(super) fn take(&mut self, text: &str) -> u32 {
        if let Some(number) = self.get(text) {
            if let Some(used) = &mut self.texts[number as usize] {
                used.times += 1;
            }
            return number;
        }
        let text: Rc<str> = text.into();
        self.bytes += text.len() + TEXT_OVERHEAD;
        let used = Some(Used { text: Rc::clone(&text), times: 1 });
        let number = match self.free.pop() {
            Some(number) => {
                self.texts[number as usize] = used;
                number
            }
            None => {
                self.texts.push(used);
                u32::try_from(self.texts.len() - 1).expect("fewer segments than 2^32")
            }
        };
        self.numbers.insert(text, number);
        number
    }

    /// A text is used once less.
    pub(super) fn give_back(&mut self, number: u32) {
        let slot = &mut self.texts[number as usize];
        let Some(used) = slot else { return };
        used.times -= 1;
        if used.times == 0 {
            self.bytes -= used.text.len() + TEXT_OVERHEAD;
            self.numbers.remove(&used.text);
            *slot = None;
            self.free.push(number);
            if self.numbers.is_empty() {
                *self = Self::default();
            } else {
                shrink_map(&mut self.numbers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_while_it_is_used() {
        let mut segments = Segments::default();
        let a = segments.take("a");
        let b = segments.take("b");
        assert_ne!(a, b);
        assert_eq!(segments.take("a"), a);
        segments.give_back(a);
        assert_eq!(segments.get("a"), Some(a));
        segments.give_back(a);
        assert_eq!(segments.get("a"), None);
        assert_eq!(segments.take("c"), a, "the number is used again");
        segments.give_back(b);
        segments.give_back(a);
        assert_eq!((segments.texts.capacity(), segments.numbers.capacity()), (0, 0));
    }
}
