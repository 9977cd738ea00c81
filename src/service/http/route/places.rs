//! Hosts and paths as a tree, so that those which may be meant by a request are found by its host
//! and the segments of its path, however many there are.

use super::condition::HostMatch;
use super::table::{NONE, Table};

/// A path as a place may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathPlace<'p> {
    /// Any path.
    Any,
    /// This path.
    Exact(&'p str),
    /// Paths that begin so, in whole segments.
    Prefix(&'p str),
}

/// Which paths a place is for, seen from the node of the tree that it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceKind {
    /// Any: it is at the root of a host.
    Any,
    /// Those that end here.
    Exact,
    /// Those that end here or go on with `/`: a prefix without `/` at its end.
    Whole,
    /// Those that go on with `/`: a prefix with `/` at its end.
    Below,
}

/// The owners of the roots, which are no nodes.
const EXACT_HOST: u32 = NONE;
const SUFFIX: u32 = NONE - 1;
const ANY_HOST: u32 = NONE - 2;

/// The places at a node of the tree.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// By kind.
    places: [u32; 4],
    /// Whether the tree goes on here.
    is_inner: bool,
}

/// Pairs of a host and a path, called places here, with a number for each.
///
/// The places of a request lie along its path, below the roots that its host has: the host itself,
/// each suffix of it, and any host. So finding them costs a look at each segment, and ends with the
/// first segment that no place has: a hostile path costs no more than its length, and a hostile
/// host no more than the labels that suffixes have.
#[derive(Debug, Default)]
pub struct Places {
    /// Nodes by their parent and the segment that leads to them, roots by hosts.
    nodes: Table,
    /// The places of each node.
    places: Vec<Node>,
    count: u32,
    /// Dots of the suffix that has most.
    dots: usize,
    /// Whether there are roots of hosts that are named.
    has_exact: bool,
    /// The root of any host.
    any: Option<u32>,
}

impl Places {
    /// How many places there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The root of a host, in lower case.
    pub fn root(&mut self, host: &HostMatch) -> u32 {
        match host {
            HostMatch::Any => {
                let root = self.node(ANY_HOST, "");
                self.any = Some(root);
                root
            }
            HostMatch::Exact(host) => {
                self.has_exact = true;
                self.node(EXACT_HOST, host)
            }
            HostMatch::Suffix(suffix) => {
                self.dots = self.dots.max(suffix.matches('.').count());
                self.node(SUFFIX, suffix)
            }
        }
    }

    /// The place of a path below a root.
    pub fn place(&mut self, root: u32, path: PathPlace<'_>) -> u32 {
        let (segments, kind) = match path {
            PathPlace::Any => (None, PlaceKind::Any),
            PathPlace::Exact(path) => (Some(path), PlaceKind::Exact),
            PathPlace::Prefix(path) => match path.strip_suffix('/') {
                Some(path) => (Some(path), PlaceKind::Below),
                None => (Some(path), PlaceKind::Whole),
            },
        };
        let segments = segments.into_iter().flat_map(|path| path.split('/'));
        let node = segments.fold(root, |parent, segment| self.node(parent, segment));
        let Some(node) = self.places.get_mut(node as usize) else { return NONE };
        let place = &mut node.places[kind as usize];
        if *place == NONE {
            *place = self.count;
            self.count += 1;
        }
        *place
    }

    fn node(&mut self, parent: u32, segment: &str) -> u32 {
        let node = self.nodes.add(parent, segment.as_bytes());
        if node as usize == self.places.len() {
            self.places.push(Node { places: [NONE; 4], is_inner: false });
        }
        // The owners of roots are no nodes.
        if let Some(parent) = self.places.get_mut(parent as usize) {
            parent.is_inner = true;
        }
        node
    }

    /// The roots that a host has.
    pub fn roots(&self, host: &str) -> impl Iterator<Item = u32> {
        let exact = self.has_exact.then(|| self.nodes.find(EXACT_HOST, host.as_bytes())).flatten();
        // A hostile host may have many labels: no more of them are looked at than suffixes have.
        let dots = host.rmatch_indices('.').take(self.dots);
        // A suffix stands behind at least one label.
        let suffixes = dots.filter(|(at, _)| *at > 0).filter_map(|(at, _)| {
            self.nodes.find(SUFFIX, host.get(at..).unwrap_or_default().as_bytes())
        });
        exact.into_iter().chain(suffixes).chain(self.any)
    }

    /// Shows each place below a root that is for a path.
    pub fn along(&self, root: u32, path: &str, mut visit: impl FnMut(PlaceKind, u32)) {
        let Some(mut node) = self.places.get(root as usize) else { return };
        let mut show = |node: &Node, kind: PlaceKind| {
            let place = node.places[kind as usize];
            if place != NONE {
                visit(kind, place);
            }
        };
        show(node, PlaceKind::Any);
        let (mut number, mut rest) = (root, path.as_bytes());
        while node.is_inner {
            // No node has a longer segment.
            let nearest = rest.get(..=self.nodes.longest()).unwrap_or(rest);
            let slash = nearest.iter().position(|byte| *byte == b'/');
            let segment = rest.get(..slash.unwrap_or(rest.len())).unwrap_or_default();
            let Some(next) = self.nodes.find(number, segment) else { return };
            let Some(found) = self.places.get(next as usize) else { return };
            (number, node) = (next, found);
            show(node, PlaceKind::Whole);
            let Some(slash) = slash else {
                show(node, PlaceKind::Exact);
                return;
            };
            show(node, PlaceKind::Below);
            rest = rest.get(slash + 1..).unwrap_or_default();
        }
    }

    /// The place below a root of the prefix that is this path and a `/`.
    #[must_use]
    pub fn folder(&self, root: u32, path: &str) -> Option<u32> {
        let mut segments = path.split('/');
        let node =
            segments.try_fold(root, |node, segment| self.nodes.find(node, segment.as_bytes()))?;
        Some(self.at(node, PlaceKind::Below)).filter(|place| *place != NONE)
    }

    fn at(&self, node: u32, kind: PlaceKind) -> u32 {
        self.places.get(node as usize).map_or(NONE, |node| node.places[kind as usize])
    }
}
