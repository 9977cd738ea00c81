//! Bytes: a client of a TCP or unix stream socket.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::connect::{self, Kind};
use super::error::Waiting;
use super::line::{BUFFER_SIZE, Engine, Line};
use super::{ClientError, ConnectOptions, Target};
use crate::net::tls::{Info, Session};
use crate::ring::SocketAddress;

/// A connection of bytes. Dropping it closes it.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{ConnectOptions, Received, Tcp};
///
/// let patience = Duration::from_secs(5);
/// let mut client = Tcp::connect(&"localhost:7000".parse()?, &ConnectOptions::default())?;
/// client.send(b"hello", patience)?;
/// client.finish_sending()?;
/// let mut answer = Vec::new();
/// while let Received::Bytes(_) = client.receive(&mut answer, patience)? {}
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Tcp {
    line: Line,
}

/// What a receive brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer sends no more.
    End,
}

/// Why a pump has ended early.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// The network failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The input cannot be read.
    #[error("reading the input failed: {0}")]
    Input(io::Error),
    /// The output cannot be written.
    #[error("writing the output failed: {0}")]
    Output(io::Error),
}

impl Tcp {
    /// Connects to the first address of the target that answers.
    ///
    /// # Errors
    /// What the most telling attempt met, or that the time is over.
    pub fn connect(target: &Target, options: &ConnectOptions) -> Result<Self, ClientError> {
        connect::connect(target, Kind::Stream, options).map(|line| Self { line })
    }

    /// Connects to the first of several addresses that answers, tried in this order.
    ///
    /// # Errors
    /// As of [`Tcp::connect`], or that there is no address.
    pub fn connect_any(
        addresses: &[SocketAddress],
        options: &ConnectOptions,
    ) -> Result<Self, ClientError> {
        let mut engine = Engine::new()?;
        let until = engine.now().checked_add(options.deadline);
        connect::connect_any(engine, addresses.to_vec(), Kind::Stream, options, until)
            .map(|line| Self { line })
    }

    /// The address at the other end.
    #[must_use]
    pub const fn peer(&self) -> SocketAddress {
        self.line.peer()
    }

    /// The address at our end.
    #[must_use]
    pub fn local(&mut self) -> Option<SocketAddress> {
        self.line.local()
    }

    /// What is known of the connection by TLS, if that is spoken.
    #[must_use]
    pub fn tls(&self) -> Option<Info> {
        self.line.tls().and_then(Session::info)
    }

    /// Sends all of `bytes`. What comes meanwhile waits for the next receive: a peer that answers
    /// before it has read all must not be sent more than the sockets hold, or [`Tcp::pump`] is to
    /// be used.
    ///
    /// # Errors
    /// Of the network, or when the time is over. Nothing can be sent after that, because a part
    /// may be on its way.
    pub fn send(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), ClientError> {
        self.line.check_send()?;
        let until = self.line.until(deadline);
        for chunk in bytes.chunks(BUFFER_SIZE as usize) {
            self.line.queue(chunk);
            self.line.drain(until, deadline)?;
        }
        Ok(())
    }

    /// Waits for bytes and appends them.
    ///
    /// # Errors
    /// Of the network, or when the time is over; it may be called again after that.
    pub fn receive(
        &mut self,
        into: &mut Vec<u8>,
        deadline: Duration,
    ) -> Result<Received, ClientError> {
        let until = self.line.until(deadline);
        loop {
            if let Some(bytes) = self.line.take() {
                into.extend_from_slice(&bytes);
                return Ok(Received::Bytes(bytes.len()));
            }
            if self.line.is_cut() {
                return Err(ClientError::Cut { peer: self.peer().to_string() });
            }
            if self.line.is_ended() {
                return Ok(Received::End);
            }
            self.line.check_receive()?;
            if self.line.is_over(until) {
                return Err(self.line.late(Waiting::Receive, deadline));
            }
            self.line.receive();
            self.line.turn(until)?;
        }
    }

    /// Tells the peer that nothing more will be sent; it may still send.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn finish_sending(&mut self) -> Result<(), ClientError> {
        self.line.shutdown()
    }

    /// Sends what `input` brings, and writes what comes to `output`, until the peer has ended. The
    /// end of the input ends the sending. Input is read when the socket has taken what was read
    /// before, and the socket when the output has taken what came before: at most one buffer of
    /// each is held.
    ///
    /// # Errors
    /// Of the network, the input or the output.
    pub fn pump(
        &mut self,
        input: &mut (impl Read + AsFd),
        output: &mut impl Write,
    ) -> Result<(), PumpError> {
        let mut piece = vec![0; BUFFER_SIZE as usize];
        let mut sending = true;
        loop {
            if let Some(bytes) = self.line.take() {
                output
                    .write_all(&bytes)
                    .and_then(|()| output.flush())
                    .map_err(PumpError::Output)?;
                continue;
            }
            if self.line.is_ended() {
                break;
            }
            self.line.check_receive()?;
            self.line.receive();
            if sending && self.line.is_drained() {
                self.line.watch(input);
            }
            self.line.turn(None)?;
            // What the peer says after it closed its ear still counts, so only the sending ends.
            sending &= self.line.check_send().is_ok();
            if sending && self.line.take_input() {
                match read(input, &mut piece).map_err(PumpError::Input)? {
                    Some(0) => {
                        sending = false;
                        self.line.shutdown()?;
                    }
                    Some(count) => self.line.queue(&piece[..count]),
                    None => {}
                }
            }
        }
        self.line.unwatch()?;
        if self.line.is_cut() {
            return Err(ClientError::Cut { peer: self.peer().to_string() }.into());
        }
        Ok(self.line.check_send()?)
    }
}

/// Reads once; nothing, when there is nothing after all.
pub(super) fn read(input: &mut impl Read, piece: &mut [u8]) -> io::Result<Option<usize>> {
    match input.read(piece) {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(None),
        Err(error) => Err(error),
    }
}
