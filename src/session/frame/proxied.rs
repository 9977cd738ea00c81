//! Answers of an upstream: what a client's connection asks of the frame proxy.

use std::time::Duration;

use crate::mem::{Buf, Key};
use crate::net::Stream;
use crate::proto::frame::{Code, FrameError, ServerOptions};
use crate::ring::Driver;
use crate::service::proxy::Exchanger;
use crate::session::context::Context;
use crate::session::write_buffer::WriteBuffer;

/// A client's place in the frame proxy of its upstream.
#[derive(Debug)]
pub(super) struct Proxied {
    upstream: usize,
    client: Key,
}

impl Proxied {
    pub(super) fn new<D: Driver>(
        context: &mut Context<D>,
        upstream: usize,
        server: ServerOptions,
    ) -> Self {
        let client = context.exchanger(upstream).open_client(server);
        Self { upstream, client }
    }

    /// The session has a slot.
    pub(super) fn attach<D: Driver>(&self, context: &mut Context<D>, key: Key) {
        self.exchanger(context).client_attached(self.client, key);
    }

    fn exchanger<'c, D: Driver>(&self, context: &'c mut Context<D>) -> &'c mut Exchanger {
        context.exchanger(self.upstream)
    }

    /// Whether no further request may be read now.
    pub(super) fn is_full<D: Driver>(&self, context: &mut Context<D>) -> bool {
        !self.exchanger(context).client_has_window(self.client)
    }

    /// Whether the client waits for an answer that does not wait for the client itself.
    pub(super) fn waits<D: Driver>(&self, context: &mut Context<D>) -> bool {
        self.exchanger(context).client_waits(self.client)
    }

    /// Whether open answers need what the client has yet to send.
    pub(super) fn needs_credit<D: Driver>(&self, context: &mut Context<D>) -> bool {
        self.exchanger(context).client_gives_credit(self.client)
    }

    /// Ends the answers for which the client has allowed no more for so long.
    pub(super) fn expire_stalled<D: Driver>(&self, context: &mut Context<D>, limit: Duration) {
        let now = context.now();
        self.exchanger(context).expire_stalled(self.client, limit, now);
    }

    /// GOAWAY was sent, and reading goes on.
    pub(super) fn close_door<D: Driver>(&self, context: &mut Context<D>) {
        self.exchanger(context).close_door(self.client);
    }

    /// The client sends no more.
    pub(super) fn ended<D: Driver>(&self, context: &mut Context<D>) {
        let now = context.now();
        self.exchanger(context).client_ended(self.client, now);
    }

    /// The proxy wants to know whether the client takes anything.
    pub(super) fn taken<D: Driver>(&self, context: &mut Context<D>, taken: u64) {
        let now = context.now();
        self.exchanger(context).client_taken(self.client, taken, now);
    }

    /// Whether exchanges have no last answer yet.
    pub(super) fn is_busy<D: Driver>(&self, context: &mut Context<D>) -> bool {
        self.exchanger(context).client_is_busy(self.client)
    }

    /// Reads requests; what the window has no room for, or a client that is clogged has sent, comes
    /// back.
    ///
    /// # Errors
    /// What the client did that ends the connection.
    pub(super) fn ask<D: Driver>(
        &self,
        context: &mut Context<D>,
        buf: &Buf,
    ) -> Result<Option<Buf>, FrameError> {
        let now = context.now();
        let mut rest: &[u8] = buf;
        let (exchanger, cluster) = context.exchanger_and_cluster(self.upstream);
        exchanger.client_bytes(self.client, &mut rest, cluster, now)?;
        let from = buf.len() - rest.len();
        Ok((from < buf.len()).then(|| buf.slice(from, buf.len() - from)))
    }

    /// Moves what is to be sent to the connection.
    pub(super) fn collect<D: Driver>(
        &self,
        context: &mut Context<D>,
        buffer: &mut WriteBuffer,
        stream: &mut Stream,
    ) {
        let now = context.now();
        let Context { exchangers, pages, .. } = context;
        let Some(exchanger) = exchangers.get_mut(self.upstream).and_then(Option::as_mut) else {
            return;
        };
        if let Some(out) = exchanger.client_out(self.client).filter(|out| !out.is_empty()) {
            buffer.swap(pages, stream, out);
        }
        exchanger.client_backlog(self.client, buffer.waiting(), now);
    }

    /// The client's bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub(super) fn at_end<D: Driver>(&self, context: &mut Context<D>) -> Result<(), FrameError> {
        self.exchanger(context).client_at_end(self.client)
    }

    pub(super) fn fail<D: Driver>(&self, context: &mut Context<D>, error: &FrameError) {
        self.exchanger(context).fail_client(self.client, error);
    }

    pub(super) fn go_away<D: Driver>(&self, context: &mut Context<D>, code: Code, text: &str) {
        self.exchanger(context).client_go_away(self.client, code, text);
    }

    pub(super) fn close<D: Driver>(&self, context: &mut Context<D>) {
        let now = context.now();
        self.exchanger(context).close_client(self.client, now);
    }
}
