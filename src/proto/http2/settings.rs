//! What a peer takes (RFC 9113, section 6.5).

use super::error::Violation;
use super::frame::{FRAME_LIMIT, FRAME_MAX, WINDOW_INITIAL, WINDOW_MAX, setting};

/// The settings of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSettings {
    /// Bytes of the dynamic table that it decodes with.
    pub header_table_size: u32,
    /// Whether it may be pushed to.
    pub enable_push: bool,
    /// Streams that it lets the other side have open.
    pub max_concurrent_streams: u32,
    /// Bytes of a new stream's window.
    pub initial_window_size: u32,
    /// Bytes of a frame's payload.
    pub max_frame_size: usize,
    /// Bytes of a list of fields.
    pub max_header_list_size: u32,
    /// Whether CONNECT may name a protocol.
    pub enable_connect_protocol: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            enable_push: true,
            max_concurrent_streams: u32::MAX,
            initial_window_size: WINDOW_INITIAL,
            max_frame_size: FRAME_MAX,
            max_header_list_size: u32::MAX,
            enable_connect_protocol: false,
        }
    }
}

impl PeerSettings {
    /// Takes a setting; unknown ones are ignored.
    ///
    /// # Errors
    /// It cannot have that value.
    pub fn take(&mut self, id: u16, value: u32) -> Result<(), Violation> {
        match id {
            setting::HEADER_TABLE_SIZE => self.header_table_size = value,
            setting::ENABLE_PUSH => self.enable_push = flag_of(value)?,
            setting::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            setting::INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                return Err(Violation::WindowOverflow);
            }
            setting::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            setting::MAX_FRAME_SIZE => {
                let size = value as usize;
                if !(FRAME_MAX..=FRAME_LIMIT).contains(&size) {
                    return Err(Violation::SettingValue);
                }
                self.max_frame_size = size;
            }
            setting::MAX_HEADER_LIST_SIZE => self.max_header_list_size = value,
            setting::ENABLE_CONNECT_PROTOCOL => {
                let enables = flag_of(value)?;
                // It cannot be taken back (RFC 8441, section 3).
                if self.enable_connect_protocol && !enables {
                    return Err(Violation::SettingValue);
                }
                self.enable_connect_protocol = enables;
            }
            setting::NO_RFC7540_PRIORITIES => {
                flag_of(value)?;
            }
            _ => {}
        }
        Ok(())
    }
}

const fn flag_of(value: u32) -> Result<bool, Violation> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Violation::SettingValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_values_that_they_can_have() {
        let invalid = Err(Violation::SettingValue);
        let cases = [
            (setting::HEADER_TABLE_SIZE, u32::MAX, Ok(())),
            (setting::ENABLE_PUSH, 0, Ok(())),
            (setting::ENABLE_PUSH, 2, invalid),
            (setting::INITIAL_WINDOW_SIZE, 0, Ok(())),
            (setting::INITIAL_WINDOW_SIZE, 1 << 31, Err(Violation::WindowOverflow)),
            (setting::MAX_FRAME_SIZE, 16_383, invalid),
            (setting::MAX_FRAME_SIZE, 16_384, Ok(())),
            (setting::MAX_FRAME_SIZE, (1 << 24) - 1, Ok(())),
            (setting::MAX_FRAME_SIZE, 1 << 24, invalid),
            (setting::MAX_HEADER_LIST_SIZE, 0, Ok(())),
            (setting::ENABLE_CONNECT_PROTOCOL, 1, Ok(())),
            (setting::ENABLE_CONNECT_PROTOCOL, 3, invalid),
            (setting::NO_RFC7540_PRIORITIES, 2, invalid),
            (0x7777, 5, Ok(())),
        ];
        for (id, value, expected) in cases {
            assert_eq!(PeerSettings::default().take(id, value), expected, "{id} {value}");
        }
        let mut peer = PeerSettings::default();
        peer.take(setting::ENABLE_CONNECT_PROTOCOL, 1).unwrap();
        assert_eq!(peer.take(setting::ENABLE_CONNECT_PROTOCOL, 0), invalid);
    }
}
