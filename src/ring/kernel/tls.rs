//! Kernel TLS: the socket options, and records of a type of their own.

use std::mem::MaybeUninit;

use nix::errno::Errno;

use super::{OnKernel, SEND_FLAGS, empty_header};
use crate::ring::{Fd, TlsCalls};

/// The calls without a driver, for what is asked before there is one.
#[derive(Debug, Clone, Copy)]
pub struct Direct;

impl TlsCalls for Direct {
    fn enable_tls(&mut self, socket: Fd) -> Result<(), Errno> {
        enable(socket)
    }

    fn set_tls_transmit(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno> {
        set_transmit(socket, info)
    }

    fn tls_transmit(&mut self, socket: Fd, info: &mut [u8]) -> Result<(), Errno> {
        transmit(socket, info)
    }

    fn send_tls_record(&mut self, socket: Fd, kind: u8, payload: &[u8]) -> Result<usize, Errno> {
        send_record(socket, kind, payload)
    }

    fn set_tls_receive(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno> {
        set(socket, libc::SOL_TLS, libc::TLS_RX, info)
    }

    fn receive_tls_record(
        &mut self,
        socket: Fd,
        into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno> {
        receive_record(socket, into)
    }

    fn receive_now(&mut self, socket: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        let place = into.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most as many bytes as `into` has.
        let received = unsafe { libc::recv(socket.0, place, into.len(), libc::MSG_DONTWAIT) };
        usize::try_from(received).map_err(|_| Errno::last())
    }

    fn fill_pipe(&mut self, writer: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: the kernel reads the bytes within the call.
        let written = unsafe { libc::write(writer.0, bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(written).map_err(|_| Errno::last())
    }
}

impl<D: OnKernel> TlsCalls for D {
    fn enable_tls(&mut self, socket: Fd) -> Result<(), Errno> {
        self.encrypted(socket);
        Direct.enable_tls(socket)
    }

    fn set_tls_transmit(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno> {
        Direct.set_tls_transmit(socket, info)
    }

    fn tls_transmit(&mut self, socket: Fd, info: &mut [u8]) -> Result<(), Errno> {
        Direct.tls_transmit(socket, info)
    }

    fn send_tls_record(&mut self, socket: Fd, kind: u8, payload: &[u8]) -> Result<usize, Errno> {
        Direct.send_tls_record(socket, kind, payload)
    }

    fn set_tls_receive(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno> {
        self.decrypted(socket);
        Direct.set_tls_receive(socket, info)
    }

    fn receive_tls_record(
        &mut self,
        socket: Fd,
        into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno> {
        Direct.receive_tls_record(socket, into)
    }

    fn receive_now(&mut self, socket: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        Direct.receive_now(socket, into)
    }

    fn fill_pipe(&mut self, writer: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        Direct.fill_pipe(writer, bytes)
    }
}

/// Room for the control message that carries a record's type.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    /// The type is its first byte; the rest is what the alignment asks for.
    data: [u8; size_of::<usize>()],
}

impl Control {
    /// Bytes of the header and the type.
    const LEN: usize = size_of::<libc::cmsghdr>() + size_of::<u8>();

    fn empty() -> Self {
        // SAFETY: a cmsghdr of zeroes is a valid one; some targets have padding in it.
        let header = unsafe { MaybeUninit::<libc::cmsghdr>::zeroed().assume_init() };
        Self { header, data: [0; size_of::<usize>()] }
    }
}

/// Lets the kernel speak TLS on a socket.
fn enable(socket: Fd) -> Result<(), Errno> {
    set(socket, libc::SOL_TCP, libc::TCP_ULP, b"tls")
}

/// Gives the kernel the key for what is sent.
fn set_transmit(socket: Fd, info: &[u8]) -> Result<(), Errno> {
    set(socket, libc::SOL_TLS, libc::TLS_TX, info)
}

fn set(socket: Fd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let len = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads len bytes of value within the call.
    let result = unsafe { libc::setsockopt(socket.0, level, name, value.as_ptr().cast(), len) };
    Errno::result(result).map(drop)
}

/// What the kernel encrypts with.
fn transmit(socket: Fd, info: &mut [u8]) -> Result<(), Errno> {
    let mut len = libc::socklen_t::try_from(info.len()).map_err(|_| Errno::EINVAL)?;
    let place = info.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most len bytes, for which info has room.
    let result =
        unsafe { libc::getsockopt(socket.0, libc::SOL_TLS, libc::TLS_TX, place, &raw mut len) };
    Errno::result(result).map(drop)
}

/// Sends one record of a type.
fn send_record(socket: Fd, kind: u8, payload: &[u8]) -> Result<usize, Errno> {
    let mut control = Control::empty();
    control.data[0] = kind;
    control.header.cmsg_len = Control::LEN;
    control.header.cmsg_level = libc::SOL_TLS;
    control.header.cmsg_type = libc::TLS_SET_RECORD_TYPE;
    let mut vector =
        libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
    let mut message = empty_header();
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: the kernel reads the payload and the control message, which outlive the call.
    let sent = unsafe { libc::sendmsg(socket.0, &raw const message, SEND_FLAGS) };
    usize::try_from(sent).map_err(|_| Errno::last())
}

/// Receives one record with its type.
fn receive_record(socket: Fd, into: &mut [u8]) -> Result<(Option<u8>, usize), Errno> {
    let mut control = Control::empty();
    let mut vector = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut message = empty_header();
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: the kernel writes at most as many bytes as `into` and the control message have, which
    // outlive the call.
    let received = unsafe { libc::recvmsg(socket.0, &raw mut message, libc::MSG_DONTWAIT) };
    let len = usize::try_from(received).map_err(|_| Errno::last())?;
    let header = &control.header;
    let is_type = message.msg_controllen >= Control::LEN
        && header.cmsg_level == libc::SOL_TLS
        && header.cmsg_type == libc::TLS_GET_RECORD_TYPE;
    Ok((is_type.then_some(control.data[0]), len))
}
