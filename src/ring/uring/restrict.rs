//! What a ring may be asked for, ever (`IORING_REGISTER_RESTRICTIONS`, Linux 5.10): the requests
//! that this driver makes, and nothing that opens files or changes the file system.
//!
//! Seccomp filters do not see what is sent on a ring. A ring that is restricted before it is
//! enabled refuses everything else for as long as it lives, whoever writes to its queue.

use io_uring::register::Restriction;
use io_uring::squeue::Flags;
use io_uring::{IoUring, opcode};

use super::SetupError;

/// Every request that is made, by the name that the kernel's headers give it. Those that came last
/// stand last.
pub const REQUESTS: [(&str, u8); 13] = [
    ("IORING_OP_ACCEPT", opcode::AcceptMulti::CODE),
    ("IORING_OP_ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("IORING_OP_CLOSE", opcode::Close::CODE),
    ("IORING_OP_CONNECT", opcode::Connect::CODE),
    ("IORING_OP_MSG_RING", opcode::MsgRingData::CODE),
    ("IORING_OP_POLL_ADD", opcode::PollAdd::CODE),
    ("IORING_OP_READ", opcode::Read::CODE),
    ("IORING_OP_RECV", opcode::Recv::CODE),
    ("IORING_OP_RECVMSG", opcode::RecvMsg::CODE),
    ("IORING_OP_SEND", opcode::Send::CODE),
    ("IORING_OP_SENDMSG", opcode::SendMsg::CODE),
    // Linux 6.0 and 6.1.
    ("IORING_OP_SEND_ZC", opcode::SendZc::CODE),
    ("IORING_OP_SENDMSG_ZC", opcode::SendMsgZc::CODE),
];

/// How many of them came with Linux 6.0 and 6.1.
const NEWEST: usize = 2;

/// Restricts a ring that was made disabled, and enables it: from here on it belongs to this thread.
/// Requests that this kernel does not know are left out.
///
/// # Errors
/// As `io_uring_register(2)`.
pub(super) fn enable(ring: &IoUring) -> Result<(), SetupError> {
    // What is newer than the oldest kernel with the rest, 5.19.
    let mut refused = None;
    for newest in (0..=NEWEST).rev() {
        match ring.submitter().register_restrictions(&mut rules(newest)) {
            Ok(()) => {
                refused = None;
                break;
            }
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused {
        return Err(SetupError::of("io_uring_register(RESTRICTIONS)", &error));
    }
    let enabled = ring.submitter().register_enable_rings();
    enabled.map_err(|error| SetupError::of("io_uring_register(ENABLE_RINGS)", &error))
}

/// All requests but for the newest ones, of which so many are in it.
fn rules(newest: usize) -> Vec<Restriction> {
    let known = REQUESTS.len() - NEWEST + newest;
    let requests = REQUESTS[..known].iter().map(|(_, code)| Restriction::sqe_op(*code));
    let flags = Restriction::sqe_flags_allowed(Flags::BUFFER_SELECT.bits());
    requests.chain([flags]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_refuses_what_it_is_not_for() {
        let ring = IoUring::builder().setup_r_disabled().build(8);
        let mut ring = ring.expect("a ring");
        enable(&ring).expect("restrictions");
        for (entry, is_refused) in
            [(opcode::Nop::new().build(), true), (opcode::AsyncCancel::new(7).build(), false)]
        {
            // SAFETY: neither request points to memory.
            unsafe { ring.submission().push(&entry) }.expect("room");
            ring.submit_and_wait(1).expect("it is submitted");
            let result = ring.completion().next().expect("an answer").result();
            assert_eq!(result == -libc::EACCES, is_refused, "{result}");
        }
    }

    #[test]
    fn older_kernels_are_asked_for_less() {
        assert_eq!(rules(NEWEST).len(), REQUESTS.len() + 1);
        assert_eq!(rules(0).len(), REQUESTS.len() - 1);
    }
}
