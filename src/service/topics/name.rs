//! Names: which topics and filters are valid, and which topics a filter matches.

use thiserror::Error;

/// Bytes of a topic or filter at most.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Segments of a topic or filter at most.
pub const SEGMENTS_MAX: usize = 16;
/// Wildcards `+` of a filter at most. Without it, the filters of a few clients could make each
/// publication visit twice as many nodes of the trie with each segment. With it, a publication
/// visits at most 9,401 nodes on its way (the sums of `n over k` for `n` up to 16 and `k` up to 4),
/// whatever filters there are.
pub const WILDCARDS_MAX: usize = 4;

/// Why a topic or filter is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TopicError {
    /// It has no byte.
    #[error("it is empty; 1 to {TOPIC_BYTES_MAX} bytes are valid")]
    Empty,
    /// It has more than [`TOPIC_BYTES_MAX`] bytes.
    #[error("it has {0} bytes; {TOPIC_BYTES_MAX} is the most")]
    TooLong(usize),
    /// It is not UTF-8.
    #[error("it is not UTF-8: see byte {0}")]
    NotUtf8(usize),
    /// It has a control character: U+0000 to U+001F, U+007F to U+009F.
    #[error("it has a control character at byte {0}")]
    ControlCharacter(usize),
    /// It has more than [`SEGMENTS_MAX`] segments.
    #[error("it has {0} segments; {SEGMENTS_MAX} is the most")]
    TooManySegments(usize),
    /// A topic has a wildcard, which only filters may.
    #[error("it has a wildcard (\"+\" or \"#\"), which only a filter may have")]
    WildcardInTopic,
    /// A wildcard of a filter is only a part of its segment.
    #[error("a wildcard (\"+\" or \"#\") must be a whole segment")]
    PartialWildcard,
    /// A wildcard `#` is not the last segment.
    #[error("the wildcard \"#\" must be the last segment")]
    RestNotLast,
    /// A filter has more than [`WILDCARDS_MAX`] wildcards `+`.
    #[error("it has {0} wildcards \"+\"; {WILDCARDS_MAX} is the most")]
    TooManyWildcards(usize),
}

/// The rules that topics and filters share.
fn checked(bytes: &[u8]) -> Result<&str, TopicError> {
    if bytes.is_empty() {
        return Err(TopicError::Empty);
    }
    if bytes.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong(bytes.len()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| TopicError::NotUtf8(error.valid_up_to()))?;
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(TopicError::ControlCharacter(at));
    }
    let segments = text.split('/').count();
    if segments > SEGMENTS_MAX {
        return Err(TopicError::TooManySegments(segments));
    }
    Ok(text)
}

/// A valid topic: what is published to. Segments, which may be empty, are separated by `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// Checks a topic.
    ///
    /// # Errors
    /// When it breaks a rule of names, or has a wildcard.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TopicError> {
        let text = checked(bytes)?;
        if text.contains(['+', '#']) {
            return Err(TopicError::WildcardInTopic);
        }
        Ok(Self(text))
    }

    /// A topic that was checked before.
    pub(super) fn of_checked(bytes: &'a [u8]) -> Self {
        Self(std::str::from_utf8(bytes).expect("it was checked"))
    }

    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// A valid filter: what is subscribed to. As in MQTT, the segment `+` matches any one segment, and
/// `#`, the last one, matches all segments that follow, also none: `a/#` matches `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter<'a>(&'a str);

impl<'a> Filter<'a> {
    /// Checks a filter.
    ///
    /// # Errors
    /// When it breaks a rule of names or of wildcards.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TopicError> {
        let text = checked(bytes)?;
        let (mut wildcards, mut has_rest) = (0, false);
        for segment in text.split('/') {
            if has_rest {
                return Err(TopicError::RestNotLast);
            }
            match segment {
                "+" => wildcards += 1,
                "#" => has_rest = true,
                other if other.contains(['+', '#']) => return Err(TopicError::PartialWildcard),
                _ => {}
            }
        }
        if wildcards > WILDCARDS_MAX {
            return Err(TopicError::TooManyWildcards(wildcards));
        }
        Ok(Self(text))
    }

    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it matches a topic.
    #[must_use]
    pub fn matches(self, topic: Topic<'_>) -> bool {
        let (mut filter, mut topic) = (self.0.split('/'), topic.0.split('/'));
        loop {
            match (filter.next(), topic.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                (Some(_), Some(_) | None) | (None, Some(_)) => return false,
            }
        }
    }

    /// What topics begin with that it matches, up to its first wildcard: all of it when it has
    /// none, else whole segments, each with the `/` behind it.
    pub(super) fn literal(self) -> &'a str {
        let mut end = 0;
        for segment in self.0.split_inclusive('/') {
            if matches!(segment.trim_end_matches('/'), "+" | "#") {
                break;
            }
            end += segment.len();
        }
        self.0.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Result<&str, TopicError> {
        Topic::parse(text.as_bytes()).map(Topic::as_str)
    }

    fn filter(text: &str) -> Result<&str, TopicError> {
        Filter::parse(text.as_bytes()).map(Filter::as_str)
    }

    #[test]
    fn valid_names_are_taken() {
        let long = "x".repeat(TOPIC_BYTES_MAX);
        let deep = ["s"; SEGMENTS_MAX].join("/");
        for text in ["a", "chat/a", "/", "//a", "a/", "\u{e9}/\u{1f600}", "$SYS", " ", &long, &deep]
        {
            assert_eq!(topic(text), Ok(text));
            assert_eq!(filter(text), Ok(text));
        }
        for text in ["+", "#", "a/+", "+/a/#", "/+", "+/+/+/+/#"] {
            assert_eq!(filter(text), Ok(text));
            assert_eq!(topic(text), Err(TopicError::WildcardInTopic));
        }
    }

    #[test]
    fn each_rule_of_names_has_its_error() {
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        let deep = ["s"; SEGMENTS_MAX + 1].join("/");
        for (text, error) in [
            ("", TopicError::Empty),
            (&*long, TopicError::TooLong(257)),
            ("a\0", TopicError::ControlCharacter(1)),
            ("a/\n", TopicError::ControlCharacter(2)),
            ("\u{7f}", TopicError::ControlCharacter(0)),
            ("\u{85}", TopicError::ControlCharacter(0)),
            (&*deep, TopicError::TooManySegments(17)),
        ] {
            assert_eq!(topic(text), Err(error), "{text:?}");
            assert_eq!(filter(text), Err(error), "{text:?}");
        }
        assert_eq!(Topic::parse(b"ab\xff"), Err(TopicError::NotUtf8(2)));
        assert_eq!(Filter::parse(b"\xc3"), Err(TopicError::NotUtf8(0)));
        for text in ["a+", "a/b#", "#a/b", "++", "+#"] {
            assert_eq!(filter(text), Err(TopicError::PartialWildcard), "{text}");
        }
        for text in ["#/a", "a/#/", "#/#"] {
            assert_eq!(filter(text), Err(TopicError::RestNotLast), "{text}");
        }
        assert_eq!(filter("+/+/+/+/+"), Err(TopicError::TooManyWildcards(5)));
    }

    #[test]
    fn wildcards_match_as_in_mqtt() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/", false),
            ("a/b", "a", false),
            ("+", "a", true),
            ("+", "a/b", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("+", "/a", false),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("#", "a/b/c", true),
            ("#", "/", true),
            ("a/#", "a", true),
            ("a/#", "a/", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("a/+/#", "a", false),
            ("a/+/#", "a/b", true),
            ("+/b/#", "a/b/c", true),
        ] {
            let topic = Topic::parse(topic.as_bytes()).unwrap();
            let filter = Filter::parse(filter.as_bytes()).unwrap();
            assert_eq!(filter.matches(topic), expected, "{filter:?} {topic:?}");
        }
    }

    #[test]
    fn the_literal_part_ends_before_the_first_wildcard() {
        for (filter, expected) in
            [("a/b", "a/b"), ("a/", "a/"), ("a/+/b", "a/"), ("#", ""), ("//#", "//"), ("+/a", "")]
        {
            assert_eq!(Filter::parse(filter.as_bytes()).unwrap().literal(), expected);
        }
    }
}
