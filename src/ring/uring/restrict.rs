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

/// `IORING_REGISTER_SYNC_CANCEL`: a ring that ends asks for it.
const SYNC_CANCEL: u8 = 24;

/// Restricts a ring that was made disabled, and enables it: from here on it belongs to this thread.
/// Requests that this kernel does not know are left out.
///
/// # Errors
/// As `io_uring_register(2)`.
pub(super) fn enable(ring: &IoUring) -> Result<(), SetupError> {
    let flags = Flags::BUFFER_SELECT.bits();
    let mut known = REQUESTS.len();
    loop {
        let requests = REQUESTS[..known].iter().map(|(_, code)| Restriction::sqe_op(*code));
        let more = [Restriction::register_op(SYNC_CANCEL), Restriction::sqe_flags_allowed(flags)];
        let mut all: Vec<Restriction> = requests.chain(more).collect();
        match ring.submitter().register_restrictions(&mut all) {
            Ok(()) => break,
            Err(error) if known == 0 || error.raw_os_error() != Some(libc::EINVAL) => {
                return Err(SetupError::of("io_uring_register(RESTRICTIONS)", &error));
            }
            Err(_) => known -= 1,
        }
    }
    let enabled = ring.submitter().register_enable_rings();
    enabled.map_err(|error| SetupError::of("io_uring_register(ENABLE_RINGS)", &error))
}
