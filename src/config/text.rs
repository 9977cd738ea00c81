//! The text of a configuration: that of one file, or of a file and those that it includes, joined.

/// A text, and which file each part of it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigText {
    text: String,
    /// The files in the order of the text. There is one at least.
    files: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    /// The byte of the text that it starts at.
    start: usize,
}

impl ConfigText {
    /// The text of one file. `name` is what reports call it.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        let part = Part { name: name.to_owned(), start: 0 };
        Self { text: text.to_owned(), files: vec![part] }
    }

    /// Adds the text of another file; where it starts.
    pub(super) fn push(&mut self, name: &str, text: &str) -> usize {
        self.text.push('\n');
        let start = self.text.len();
        self.text.push_str(text);
        self.files.push(Part { name: name.to_owned(), start });
        start
    }

    /// The name of the first file.
    #[must_use]
    pub fn name(&self) -> &str {
        self.files.first().map_or("", |part| part.name.as_str())
    }

    /// How many files it is from.
    pub(super) const fn files(&self) -> usize {
        self.files.len()
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The file that a byte of the text is from: its name, and where it starts.
    pub(super) fn file_at(&self, byte: usize) -> (&str, usize) {
        let place = self.files.partition_point(|part| part.start <= byte).saturating_sub(1);
        self.files.get(place).map_or(("", 0), |part| (part.name.as_str(), part.start))
    }
}
