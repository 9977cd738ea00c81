//! Lines of access logs that wait.

use crate::session::resources::LineSink;

/// Lines of access logs that wait to be handed over, by where they go.
#[derive(Debug, Default)]
pub(super) struct LogLines {
    pub(super) waiting: Vec<(LineSink, Vec<u8>)>,
    pub(super) is_armed: bool,
}

impl LogLines {
    pub(super) fn of(&mut self, sink: &LineSink) -> &mut Vec<u8> {
        let known = self.waiting.iter().position(|(own, _)| own.is(sink));
        let at = known.unwrap_or_else(|| {
            self.waiting.push((sink.clone(), Vec::new()));
            self.waiting.len() - 1
        });
        &mut self.waiting[at].1
    }
}
