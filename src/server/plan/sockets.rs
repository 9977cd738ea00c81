//! The listening sockets of all workers, by address: those whose address stays go on.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use crate::config::{Config, ListenAddress, Listener};
use crate::net;
use crate::ring::{Fd, SocketAddress};
use crate::server::StartError;
use crate::server::build;

/// What a socket is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    is_udp: bool,
    address: ListenAddress,
    /// The listener, for an address whose port the kernel has chosen.
    owner: Option<(String, usize)>,
}

impl Place {
    fn of(listener: &Listener, at: usize) -> Self {
        let address = listener.listen[at].clone();
        let is_chosen = matches!(&address, ListenAddress::Ip(ip) if ip.port() == 0);
        Self {
            is_udp: listener.is_udp(),
            address,
            owner: is_chosen.then(|| (listener.name.clone(), at)),
        }
    }
}

/// The sockets of one address.
#[derive(Debug, Clone)]
struct Bound {
    /// One for each worker, which it belongs to.
    sockets: Vec<Fd>,
    address: SocketAddress,
    unix_mode: u32,
}

/// The sockets that workers listen on.
#[derive(Debug, Default)]
pub(in crate::server) struct Sockets {
    bound: HashMap<Place, Bound>,
}

/// The sockets of a plan.
#[derive(Debug, Default)]
pub(in crate::server) struct PlannedSockets {
    /// By listener in the order of the file, and by worker.
    pub(super) by_listener: Vec<Vec<Vec<Fd>>>,
    /// Those that are new, by worker: a worker owns them once it has the plan.
    pub(super) new: Vec<Vec<OwnedFd>>,
    /// Where listeners listen: name and address.
    pub(super) addresses: Vec<(String, SocketAddress)>,
    bound: HashMap<Place, Bound>,
}

impl PlannedSockets {
    /// These, which belong to the one worker that there is.
    pub(super) fn given(by_listener: Vec<Vec<Vec<Fd>>>) -> Self {
        Self { by_listener, new: vec![Vec::new()], ..Self::default() }
    }
}

impl Sockets {
    /// The sockets for a configuration. Nothing is changed until [`Sockets::adopt`].
    ///
    /// # Errors
    /// An address that cannot be listened on. What was bound for others is closed again.
    pub(super) fn plan(
        &self,
        config: &Config,
        workers: usize,
    ) -> Result<PlannedSockets, StartError> {
        let wanted: HashSet<Place> = places(config).collect();
        let leaving: Vec<(bool, SocketAddr)> = self.leaving(&wanted).collect();
        let mut planned = PlannedSockets::default();
        planned.new.resize_with(workers, Vec::new);
        for listener in &config.listeners {
            let mut own = vec![Vec::new(); workers];
            for at in 0..listener.listen.len() {
                let place = Place::of(listener, at);
                let bound = match self.bound.get(&place) {
                    Some(bound) => bound.clone(),
                    None => bind(listener, at, &leaving, &mut planned.new)?,
                };
                for (sockets, socket) in own.iter_mut().zip(&bound.sockets) {
                    sockets.push(*socket);
                }
                planned.addresses.push((listener.name.clone(), bound.address));
                let bound = Bound { unix_mode: listener.unix_mode, ..bound };
                planned.bound.insert(place, bound);
            }
            planned.by_listener.push(own);
        }
        Ok(planned)
    }

    /// Addresses of which the sockets will be closed, and whether they are those of UDP.
    fn leaving(&self, wanted: &HashSet<Place>) -> impl Iterator<Item = (bool, SocketAddr)> {
        let leaving = self.bound.iter().filter(|(place, _)| !wanted.contains(place));
        leaving.filter_map(|(place, bound)| Some((place.is_udp, bound.address.ip()?)))
    }

    /// The plan with these sockets holds. Workers close those that it has not.
    pub(super) fn adopt(&mut self, planned: &mut PlannedSockets) {
        let before = std::mem::replace(&mut self.bound, std::mem::take(&mut planned.bound));
        self.bound.iter().for_each(|(place, bound)| {
            let ListenAddress::Unix(path) = &place.address else { return };
            if before.get(place).is_some_and(|before| before.unix_mode != bound.unix_mode) {
                let mode = std::fs::Permissions::from_mode(bound.unix_mode);
                if let Err(error) = std::fs::set_permissions(path, mode) {
                    let path = path.display();
                    tracing::error!(%path, %error, "the mode of the unix socket stays as it was");
                }
            }
        });
    }
}

/// All that is listened on.
fn places(config: &Config) -> impl Iterator<Item = Place> {
    let all = config.listeners.iter();
    all.flat_map(|one| (0..one.listen.len()).map(|at| Place::of(one, at)))
}

/// Whether sockets of one address keep others from the other one.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Listens on an address of a listener.
fn bind(
    listener: &Listener,
    at: usize,
    leaving: &[(bool, SocketAddr)],
    new: &mut [Vec<OwnedFd>],
) -> Result<Bound, StartError> {
    let address = build::address(&listener.listen[at])?;
    let is_udp = listener.is_udp();
    // A socket of ours there is not another process's; it stays open until this plan holds.
    let is_ours = address.ip().is_some_and(|ip| {
        leaving.iter().any(|(is_udp_too, own)| *is_udp_too == is_udp && overlaps(*own, ip))
    });
    let (sockets, address) = if is_udp {
        let bind = if is_ours { net::bind_datagrams_beside } else { net::bind_datagrams };
        bind(&address, &build::bind_datagrams(listener), new.len())?
    } else {
        let bind = if is_ours { net::bind_beside } else { net::bind };
        bind(&address, &build::listen(listener), new.len())?
    };
    let numbers = sockets.iter().map(|socket| Fd(socket.as_raw_fd())).collect();
    for (own, socket) in new.iter_mut().zip(sockets) {
        own.push(socket);
    }
    Ok(Bound { sockets: numbers, address, unix_mode: listener.unix_mode })
}
