//! A page that shows what runs.

use crate::ring::Driver;
use crate::service::http::status_page::{self, Carried, Load, Place};
use crate::session::context::Context;

impl<D: Driver> Context<D> {
    /// Writes the page: each listener with what it does and what it carries.
    pub(super) fn write_status_page(&self, out: &mut Vec<u8>) {
        let workers = &self.options.workers;
        let cells = workers.cells();
        let carried = |place| {
            let mut sum = Carried::default();
            for cell in cells {
                let one = match place {
                    Place::Connections(number) => {
                        cell.stats.listeners.find(number).map(|stats| Carried {
                            active: stats.active.get(),
                            opened: stats.accepted.get(),
                            received: stats.received.get(),
                            sent: stats.sent.get(),
                        })
                    }
                    Place::Datagrams(number) => {
                        cell.stats.datagrams.find(number).map(|stats| Carried {
                            active: stats.flows_active.get(),
                            opened: stats.flows_opened.get(),
                            received: stats.received_bytes.get(),
                            sent: stats.sent_bytes.get(),
                        })
                    }
                };
                let one = one.unwrap_or_default();
                sum.active += one.active;
                sum.opened += one.opened;
                sum.received += one.received;
                sum.sent += one.sent;
            }
            sum
        };
        let now = self.reactor.now();
        let running = now.saturating_duration_since(workers.epoch(now)).as_secs_f64();
        let loads = cells.iter().map(|cell| {
            let times = &cell.loops.times;
            let busy = if running > 0.0 { times.busy().as_secs_f64() / running } else { 0.0 };
            let (active, busy) = (cell.active.get(), busy.min(1.0));
            Load { active, busy, longest_turn: times.longest() }
        });
        let loads: Vec<Load> = loads.collect();
        status_page::write(&workers.introduction(), &loads, carried, out);
    }
}
