//! What the rings of a thread, and of those that it starts, may be asked for
//! (`IORING_REGISTER_BPF_FILTER`, Linux 7.0; of connects since 7.2): filters that look at where a
//! connect goes, which neither restrictions of a ring nor seccomp see.
//!
//! Filters are there before a ring is, stay for as long as the threads, and can only be added to: a
//! program that is taken over can make itself no ring without them.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::errno::Errno;

use super::REQUESTS;
use super::query::register_without_ring;
use crate::ring::ConnectTarget;

/// The number of the register call.
const REGISTER_BPF_FILTER: libc::c_uint = 37;
/// `IO_URING_BPF_CMD_FILTER`.
const COMMAND_FILTER: u16 = 1;

/// `struct io_uring_bpf`, with its `struct io_uring_bpf_filter`.
#[repr(C)]
struct Command {
    kind: u16,
    flags: u16,
    reserved: u32,
    request: u32,
    filter_flags: u32,
    program_len: u32,
    payload_len: u8,
    filter_reserved: [u8; 3],
    program: u64,
    more: [u64; 5],
}

const _: () = assert!(size_of::<Command>() == 72);

/// Places in `struct io_uring_bpf_ctx`, which a program looks at by words: for a connect, the
/// family, the port and the address, both as the network has them.
const FAMILY: u32 = 16;
const PORT: u32 = 20;
const ADDRESS: u32 = 24;
/// Bytes of a connect's part of it.
const CONNECT_LEN: u8 = 24;

/// A word's place, the bits of it that are looked at, and what they are to be.
type Word = (u32, u32, u32);

/// Addresses of version 4 that are written as ones of version 6: `::ffff:0:0/96`.
const MAPPED: [Word; 3] = [
    (ADDRESS, u32::MAX, 0),
    (ADDRESS + 4, u32::MAX, 0),
    (ADDRESS + 8, u32::MAX, u32::from_ne_bytes([0, 0, 0xff, 0xff])),
];

/// Instructions of a program (`BPF_MAXINSNS`).
const PROGRAM_MAX: usize = 4096;

/// Why there are no filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The kernel has none, or none that see where a connect goes.
    #[error(
        "the kernel filters no connects of io_uring (Linux 7.2 with CONFIG_IO_URING_BPF does): {}",
        .0.desc()
    )]
    Unknown(Errno),
    /// There are too many targets.
    #[error("there are too many targets for one filter: {0} instructions, of {PROGRAM_MAX}")]
    TooLong(usize),
    /// The kernel refuses.
    #[error("the kernel refuses a filter for io_uring: {}", .0.desc())]
    Refused(Errno),
}

/// An instruction: `struct sock_filter`.
type Instruction = libc::sock_filter;

/// Bits of the codes, which are all below 256.
const fn code(bits: libc::c_uint) -> u16 {
    bits.to_le_bytes()[0] as u16
}

const fn load(place: u32) -> Instruction {
    let code = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    Instruction { code, jt: 0, jf: 0, k: place }
}

const fn mask(bits: u32) -> Instruction {
    let code = code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K);
    Instruction { code, jt: 0, jf: 0, k: bits }
}

/// Goes on where the word is this one; else `jf` is to be set.
const fn equals(word: u32) -> Instruction {
    let code = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    Instruction { code, jt: 0, jf: 0, k: word }
}

const fn answer(is_allowed: bool) -> Instruction {
    let code = code(libc::BPF_RET | libc::BPF_K);
    Instruction { code, jt: 0, jf: 0, k: is_allowed as u32 }
}

/// The program that allows connects to these targets.
fn program(targets: &[ConnectTarget]) -> Vec<Instruction> {
    let mut all = deciding(libc::AF_INET6, &MAPPED, false);
    all.extend(targets.iter().flat_map(allowing));
    all.push(answer(false));
    all
}

/// The part that allows connects to one target, and goes on behind it otherwise.
fn allowing(target: &ConnectTarget) -> Vec<Instruction> {
    let (family, network, port) = match target {
        ConnectTarget::Unix => return deciding(libc::AF_UNIX, &[], true),
        ConnectTarget::Network { network: network @ IpNet::V4(_), port } => {
            (libc::AF_INET, network, port)
        }
        ConnectTarget::Network { network: network @ IpNet::V6(_), port } => {
            (libc::AF_INET6, network, port)
        }
    };
    let mut wanted = Vec::new();
    if let Some(port) = port {
        let [high, low] = port.to_be_bytes();
        wanted.push((PORT, u32::MAX, u32::from_ne_bytes([high, low, 0, 0])));
    }
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (address, bits) = (octets(network.network()), octets(network.netmask()));
    let words = address.chunks_exact(4).zip(bits.chunks_exact(4));
    for (place, (address, bits)) in (ADDRESS..).step_by(4).zip(words) {
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
        wanted.push((place, word(bits), word(address)));
    }
    deciding(family, &wanted, true)
}

/// The part that decides of connects of a family where these words, of which bits are looked at,
/// are as they are wanted, and goes on behind it otherwise.
fn deciding(family: i32, wanted: &[Word], is_allowed: bool) -> Vec<Instruction> {
    let mut part = vec![load(FAMILY), equals(u32::try_from(family).unwrap_or(0))];
    for &(place, bits, word) in wanted {
        match bits {
            0 => {}
            u32::MAX => part.extend([load(place), equals(word)]),
            bits => part.extend([load(place), mask(bits), equals(word)]),
        }
    }
    part.push(answer(is_allowed));
    // What does not equal goes on behind the answer.
    let len = part.len();
    for (at, instruction) in part.iter_mut().enumerate() {
        if instruction.code == equals(0).code {
            instruction.jf = u8::try_from(len - at - 1).unwrap_or(u8::MAX);
        }
    }
    part
}

/// From now on rings of this thread, and of all that it starts, connect to these targets only, and
/// take no request that [`REQUESTS`] does not have. Rings that exist are as they were. Where it
/// takes that, the thread gives up that programs that it executes gain privileges
/// (`PR_SET_NO_NEW_PRIVS`), as with seccomp.
///
/// # Errors
/// Why there are none. Filters that were added before stay.
pub fn filter_connects(targets: &[ConnectTarget]) -> Result<(), FilterError> {
    let program = program(targets);
    if program.len() > PROGRAM_MAX {
        return Err(FilterError::TooLong(program.len()));
    }
    let connect = io_uring::opcode::Connect::CODE;
    let mut added = add(connect, CONNECT_LEN, &program);
    if added == Err(Errno::EACCES) {
        nix::sys::prctl::set_no_new_privs().map_err(FilterError::Refused)?;
        added = add(connect, CONNECT_LEN, &program);
    }
    match added {
        Ok(()) => {}
        Err(errno @ (Errno::EINVAL | Errno::EBADF | Errno::EMSGSIZE | Errno::ENOSYS)) => {
            return Err(FilterError::Unknown(errno));
        }
        Err(errno) => return Err(FilterError::Refused(errno)),
    }
    let deny = [answer(false)];
    let is_made = |request: u8| REQUESTS.iter().any(|(_, code)| *code == request);
    for request in (0..=u8::MAX).filter(|request| !is_made(*request)) {
        match add(request, 0, &deny) {
            Ok(()) => {}
            // It has no more requests.
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(FilterError::Refused(errno)),
        }
    }
    Ok(())
}

/// Adds a program for one kind of request.
fn add(request: u8, payload_len: u8, program: &[Instruction]) -> Result<(), Errno> {
    // The kernel writes there how long the payload is.
    let mut command = Command {
        kind: COMMAND_FILTER,
        flags: 0,
        reserved: 0,
        request: u32::from(request),
        filter_flags: 0,
        program_len: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        payload_len,
        filter_reserved: [0; 3],
        program: program.as_ptr().expose_provenance() as u64,
        more: [0; 5],
    };
    // SAFETY: the kernel reads and writes a command, and reads the program of the length that it
    // says, within the call; both outlive it.
    unsafe { register_without_ring(REGISTER_BPF_FILTER, &raw mut command, 1) }
}

#[cfg(test)]
mod tests;
