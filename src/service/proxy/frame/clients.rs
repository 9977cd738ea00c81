//! What clients say, and what they are told.

use std::time::{Duration, Instant};

use super::client::Client;
use super::exchange::Exchanges;
use super::{CLOG_TIME, Exchanger, FrameAction};
use crate::mem::Key;
use crate::proto::frame::{Code, Command, FrameError, ServerEvent, ServerOptions};
use crate::service::CloseReason;
use crate::service::cluster::Cluster;
use crate::service::cluster::breaker::Breaker;

impl Exchanger {
    /// A client came, which is offered `options`.
    ///
    /// # Panics
    /// When there are more clients than a slab can hold, 2^32.
    pub fn open_client(&mut self, options: ServerOptions) -> Key {
        let client = Client::new(options);
        self.clients.insert(client).expect("fewer clients than slots")
    }

    /// The session's own key of a client.
    pub fn client_attached(&mut self, client: Key, owner: Key) {
        if let Some(client) = self.clients.get_mut(client) {
            client.owner = Some(owner);
        }
    }

    /// A client has gone. What it asked for is not asked for any longer, where servers can be told
    /// so or would send much.
    pub fn close_client(&mut self, client: Key, now: Instant) {
        let gone = self.clients.remove(client);
        for exchange in gone.iter().flat_map(Client::open_exchanges) {
            self.cancel(exchange, now);
        }
        self.unclog(client);
    }

    /// Reads requests of a client: without flow control, as far as its window goes, and never while
    /// it is clogged; what is left stays in `input`.
    ///
    /// # Errors
    /// What the client did that ends its connection.
    pub fn client_bytes(
        &mut self,
        client: Key,
        input: &mut &[u8],
        cluster: &mut Cluster,
        now: Instant,
    ) -> Result<(), FrameError> {
        self.count_gone(cluster);
        while self.read_client(client, input, &mut cluster.breaker, now)? {}
        Ok(())
    }

    /// Reads up to the next CREDIT or RESET; true when there may be more behind it.
    fn read_client(
        &mut self,
        client: Key,
        input: &mut &[u8],
        breaker: &mut Breaker,
        now: Instant,
    ) -> Result<bool, FrameError> {
        let Self { clients, exchanges, budget, fresh, entered, .. } = self;
        let Some(state) = clients.get_mut(client) else {
            return Ok(false);
        };
        let result = loop {
            if !state.has_window() {
                break Ok(());
            }
            let (is_going, refusal) = (state.is_going(), state.refusal());
            match state.server.next(input, &mut state.out) {
                Ok(None) => break Ok(()),
                Ok(Some(ServerEvent::Greeted)) => {}
                Ok(Some(ServerEvent::Credit { stream, bytes })) => {
                    return self.client_credit(client, stream, bytes, now).map(|()| true);
                }
                Ok(Some(ServerEvent::Reset { stream })) => {
                    self.client_reset(client, stream, now);
                    return Ok(true);
                }
                // Not carried out, as GOAWAY says.
                Ok(Some(ServerEvent::Refused { .. } | ServerEvent::Request(_))) if is_going => {}
                Ok(Some(ServerEvent::Refused { stream, code, text })) => {
                    refuse_request(state, exchanges, stream, code, text);
                }
                Ok(Some(ServerEvent::Request(request))) => {
                    let (command, stream) = (request.command, request.stream);
                    if let Some((code, text)) = refusal {
                        exchanges.count_begun();
                        refuse_request(state, exchanges, stream, code, text);
                        continue;
                    }
                    if breaker.try_enter().is_err() {
                        exchanges.count_begun();
                        let text = "the upstream has its maximum of requests";
                        refuse_request(state, exchanges, stream, Code::Overloaded, text);
                        continue;
                    }
                    *entered += 1;
                    let exchange = exchanges.begin(client, &request, now);
                    let place = (state.take_turn(), stream);
                    budget.deposit();
                    exchanges.set_turn(exchange, place.0, state.server.credit());
                    if state.delays(place, command, exchange) {
                        exchanges.pause(exchange);
                    } else {
                        fresh.push(exchange);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        self.send_fresh(now);
        result.map(|()| false)
    }

    /// The client's bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub fn client_at_end(&self, client: Key) -> Result<(), FrameError> {
        self.clients.get(client).map_or(Ok(()), |client| client.server.at_end())
    }

    /// Whether a client waits for an answer that does not wait for the client itself.
    #[must_use]
    pub fn client_waits(&self, client: Key) -> bool {
        self.clients.get(client).is_some_and(|client| {
            let stalled = client.open_exchanges().filter(|key| self.exchanges.is_stalled(*key));
            client.waits_beside(stalled.count())
        })
    }

    /// Whether a client with flow control has exchanges without a last answer: it must be read from
    /// until they are over.
    #[must_use]
    pub fn client_gives_credit(&self, client: Key) -> bool {
        let gives = |client: &Client| client.is_busy() && client.server.credit().is_some();
        self.clients.get(client).is_some_and(gives)
    }

    /// The client was told GOAWAY: requests behind it are passed over.
    pub fn close_door(&mut self, client: Key) {
        if let Some(client) = self.clients.get_mut(client) {
            client.close_door();
        }
    }

    /// Whether a client has exchanges without a last answer.
    #[must_use]
    pub fn client_is_busy(&self, client: Key) -> bool {
        self.clients.get(client).is_some_and(Client::is_busy)
    }

    /// Whether a client may begin another exchange.
    #[must_use]
    pub fn client_has_window(&self, client: Key) -> bool {
        self.clients.get(client).is_some_and(Client::has_window)
    }

    /// What is to be sent to a client; `swap` exchanges it for an empty vector of the session's.
    pub fn client_out(&mut self, client: Key) -> Option<&mut Vec<u8>> {
        let client = self.clients.get_mut(client)?;
        client.flushed();
        Some(&mut client.out)
    }

    /// Tells a client what it did wrong.
    pub fn fail_client(&mut self, client: Key, error: &FrameError) {
        if let Some(client) = self.clients.get_mut(client) {
            client.server.fail(error, &mut client.out);
            error.code().into_iter().for_each(|code| self.exchanges.count_refused(code));
        }
    }

    /// Tells a client that no new request is taken.
    pub fn client_go_away(&mut self, client: Key, code: Code, text: &str) {
        if let Some(client) = self.clients.get_mut(client) {
            client.server.go_away(code, text, &mut client.out);
        }
    }

    /// So many bytes wait to be sent to a client.
    pub fn client_backlog(&mut self, client: Key, waiting: usize, now: Instant) {
        let Some(state) = self.clients.get_mut(client) else { return };
        let is_free = state.note_backlog(waiting, now);
        let settles = is_free || state.takes_more();
        if is_free {
            self.unclog(client);
        }
        if settles {
            self.settle_credit(client, now);
        }
    }

    /// Ends the answers for which the client has been waited for so long to allow more.
    pub fn expire_stalled(&mut self, client: Key, limit: Duration, now: Instant) {
        let Some(since) = now.checked_sub(limit) else { return };
        let Some(state) = self.clients.get(client) else { return };
        let exchanges = &self.exchanges;
        let stalled = state.open_exchanges().filter(|key| exchanges.is_stalled_since(*key, since));
        let stalled: Vec<Key> = stalled.collect();
        self.end_stalled(client, &stalled, now);
    }

    /// Ends answers for which a client is waited for.
    fn end_stalled(&mut self, client: Key, stalled: &[Key], now: Instant) {
        for key in stalled {
            let text = "the client has allowed no more of it in time";
            self.end_answer(*key, Code::Deadline, text, now);
        }
        if !stalled.is_empty() {
            self.unclog(client);
            self.settle_credit(client, now);
        }
    }

    /// What the session has seen of a client of [`FrameAction::LookAtClient`]: all the bytes that
    /// it has acknowledged.
    pub fn client_taken(&mut self, client: Key, taken: u64, now: Instant) {
        let Some(client) = self.clients.get_mut(client) else { return };
        if client.is_stuck(taken, now) {
            let close = |owner| FrameAction::CloseClient(owner, CloseReason::SlowReader);
            self.actions.extend(client.owner.map(close));
        }
    }

    /// A client takes its answers again, or is gone: the trunks that waited for it are read on.
    pub(super) fn unclog(&mut self, client: Key) {
        for trunk in self.trunks.values_mut() {
            if trunk.clogged_by == Some(client) {
                trunk.clogged_by = None;
                self.actions.extend(trunk.owner.map(FrameAction::Flush));
            }
        }
    }

    /// Clients that block a shared connection to a server.
    fn clogging(&self) -> impl Iterator<Item = (Key, &Client)> {
        let clients = self.trunks.values().filter_map(|trunk| trunk.clogged_by);
        clients.filter_map(|key| Some((key, self.clients.get(key)?)))
    }

    /// Answers by which a client blocks a connection, because it does not allow them, and when each
    /// has done so for too long.
    fn blocking<'e>(&'e self, client: &'e Client) -> impl Iterator<Item = (Key, Instant)> + 'e {
        client.open_exchanges().filter_map(|key| {
            let stalled = self.exchanges.stalled(key).filter(|_| self.exchanges.holds_much(key));
            stalled.map(|since| (key, since + CLOG_TIME))
        })
    }

    /// When to look next at clients that block a shared connection to a server.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let looks = self.clogging().flat_map(|(_, client)| {
            self.blocking(client).map(|(_, end)| end).chain(client.next_look())
        });
        looks.min()
    }

    /// Asks for the progress of clients that block a shared connection to a server, and ends
    /// answers that block one because they are not allowed.
    pub(super) fn look_at_clogged_clients(&mut self, now: Instant) {
        let (mut looks, mut over) = (Vec::new(), Vec::new());
        for (key, client) in self.clogging() {
            if client.next_look().is_some_and(|look| look <= now) {
                looks.extend(client.owner.map(FrameAction::LookAtClient));
            }
            let due = self.blocking(client).filter(|(_, end)| *end <= now);
            let due: Vec<Key> = due.map(|(exchange, _)| exchange).collect();
            if !due.is_empty() {
                over.push((key, due));
            }
        }
        self.actions.extend(looks);
        for (client, exchanges) in over {
            self.end_stalled(client, &exchanges, now);
        }
    }
}

/// Answers a request that is not carried out.
fn refuse_request(
    client: &mut Client,
    exchanges: &mut Exchanges,
    stream: u32,
    code: Code,
    text: &str,
) {
    let place = (client.take_turn(), stream);
    client.refuse(exchanges.spare(), place, Command::ERROR, code, text);
    exchanges.count_refused(code);
    client.is_clogged();
}
