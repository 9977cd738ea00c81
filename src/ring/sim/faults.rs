//! What the simulated kernel does badly, and how often.

/// How often the simulated kernel does what kernels rarely do: chances of each, in a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// A receive, send or splice moves fewer bytes than it could.
    pub short: u32,
    /// A receive finds no buffer although there are some.
    pub starve: u32,
    /// A completion is delayed by some turns, and so overtaken by others.
    pub delay: u32,
    /// A push is refused.
    pub refuse: u32,
    /// A multishot ends with a success.
    pub end_multishot: u32,
    /// No descriptor is to be had for a socket, a pipe or an accept.
    pub descriptors: u32,
    /// A poll reports readiness that is not there; a splice says that it would wait.
    pub spurious: u32,
    /// A datagram is lost on its way to us.
    pub lose: u32,
    /// A datagram comes twice.
    pub double: u32,
    /// A datagram overtakes earlier ones.
    pub reorder: u32,
    /// A datagram socket takes no more.
    pub full: u32,
    /// A datagram socket cannot send joined datagrams, ever.
    pub joining: u32,
}

impl Faults {
    /// A kernel that always does its best.
    pub const NONE: Self = Self {
        short: 0,
        starve: 0,
        delay: 0,
        refuse: 0,
        end_multishot: 0,
        descriptors: 0,
        spurious: 0,
        lose: 0,
        double: 0,
        reorder: 0,
        full: 0,
        joining: 0,
    };

    /// Everything goes wrong now and then.
    pub const ALL: Self = Self {
        short: 300,
        starve: 50,
        delay: 200,
        refuse: 50,
        end_multishot: 100,
        descriptors: 10,
        spurious: 100,
        lose: 50,
        double: 50,
        reorder: 100,
        full: 20,
        joining: 10,
    };
}
