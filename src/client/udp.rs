//! Datagrams: a client of a connected UDP socket.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::connect::{self, Kind};
use super::error::Waiting;
use super::line::Line;
use super::tcp::{PumpError, read};
use super::{ClientError, ConnectOptions, Target};
use crate::ring::SocketAddress;

/// The largest datagram of UDP over IPv4.
const DATAGRAM_MAX: usize = 65_507;
/// How long a send may wait for room in the machine's own queue.
const SEND_MAX: Duration = Duration::from_secs(1);

/// A socket that exchanges datagrams with one peer. What the network reports of a datagram that
/// did not arrive (ICMP) comes as the error of a later call.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{ConnectOptions, Udp};
///
/// let mut client = Udp::connect(&"localhost:7000".parse()?, &ConnectOptions::default())?;
/// client.send(b"hello")?;
/// let mut answer = Vec::new();
/// client.receive(&mut answer, Duration::from_secs(1))?;
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Udp {
    line: Line,
}

impl Udp {
    /// A socket for the first address of the target that can be reached from here; nothing is
    /// sent.
    ///
    /// # Errors
    /// That no address can be reached.
    pub fn connect(target: &Target, options: &ConnectOptions) -> Result<Self, ClientError> {
        connect::connect(target, Kind::Datagram, options).map(|line| Self { line })
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

    /// Sends one datagram; an empty one is one, too.
    ///
    /// # Errors
    /// Of the network: this datagram's, or what became known of an earlier one.
    pub fn send(&mut self, datagram: &[u8]) -> Result<(), ClientError> {
        self.line.queue_datagram(datagram);
        let until = self.line.until(SEND_MAX);
        let sent = self.line.drain(until, SEND_MAX);
        self.line.forgive_send();
        sent
    }

    /// Waits for a datagram and appends it; its length.
    ///
    /// # Errors
    /// Of the network, or when the time is over; it may be called again after both.
    pub fn receive(
        &mut self,
        into: &mut Vec<u8>,
        deadline: Duration,
    ) -> Result<usize, ClientError> {
        let until = self.line.until(deadline);
        loop {
            if let Some(count) = self.take(|bytes| into.extend_from_slice(bytes))? {
                return Ok(count);
            }
            if self.line.is_over(until) {
                return Err(self.line.late(Waiting::Receive, deadline));
            }
            self.line.receive();
            self.line.turn(until)?;
        }
    }

    /// The datagram that has come.
    fn take(&mut self, give: impl FnOnce(&[u8])) -> Result<Option<usize>, ClientError> {
        if let Some(bytes) = self.line.take() {
            give(&bytes);
            return Ok(Some(bytes.len()));
        }
        if self.line.take_end() {
            return Ok(Some(0));
        }
        let failed = self.line.check_receive();
        self.line.forgive_receive();
        failed.map(|()| None)
    }

    /// Sends each read of `input` as one datagram, and writes the datagrams that come to
    /// `output`, until `wait` after the end of the input.
    ///
    /// # Errors
    /// Of the network, the input or the output.
    pub fn pump(
        &mut self,
        input: &mut (impl Read + AsFd),
        output: &mut impl Write,
        wait: Duration,
    ) -> Result<(), PumpError> {
        let mut piece = vec![0; DATAGRAM_MAX];
        let mut until: Option<Instant> = None;
        let mut sending = true;
        while !self.line.is_over(until) {
            let mut written = Ok(());
            let give = |bytes: &[u8]| written = output.write_all(bytes);
            if self.take(give)?.is_some() {
                written.and_then(|()| output.flush()).map_err(PumpError::Output)?;
                continue;
            }
            self.line.receive();
            if sending {
                self.line.watch(input);
            }
            self.line.turn(until)?;
            if self.line.take_input() {
                match read(input, &mut piece).map_err(PumpError::Input)? {
                    Some(0) => {
                        sending = false;
                        until = self.line.until(wait);
                    }
                    Some(count) => self.send(&piece[..count])?,
                    None => {}
                }
            }
        }
        Ok(())
    }
}
