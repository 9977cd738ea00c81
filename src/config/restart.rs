//! What only a restart changes: a reload goes on with what the process has.

use super::{Config, Listener, ListenerService, UdpOptions};

impl Config {
    /// Takes over what only a restart changes from the configuration that is served.
    /// [`super::Difference`] tells what that is.
    pub fn keep_of_start(&mut self, running: &Self) {
        let (own, before) = (&mut self.runtime, &running.runtime);
        own.workers = before.workers;
        own.pin = before.pin;
        own.driver = before.driver;
        own.zero_copy_send = before.zero_copy_send;
        own.ring_entries = before.ring_entries;
        own.completion_entries = before.completion_entries;
        own.buffers = before.buffers;
        own.buffer_size = before.buffer_size;
        own.kernel_tls = before.kernel_tls;
        own.connect_to.clone_from(&before.connect_to);
        own.websocket_takeover_memory = before.websocket_takeover_memory;
        self.admin.enabled = running.admin.enabled;
        self.admin.listen = running.admin.listen;
        self.admin.tls.clone_from(&running.admin.tls);
        self.log.format = running.log.format;
        for listener in self.listeners.iter_mut().filter(|listener| listener.is_udp()) {
            let same = running.listeners.iter();
            let mut same = same.filter(|one| one.is_udp() && one.name == listener.name);
            if let Some(before) = same.next() {
                listener.socket.clone_from(&before.socket);
                let options = udp_options(before);
                if let (Some(own), Some(before)) = (udp_options_mut(listener), options) {
                    *own = before;
                }
            }
        }
    }
}

fn udp_options(listener: &Listener) -> Option<UdpOptions> {
    match &listener.service {
        ListenerService::Udp { options, .. } | ListenerService::UdpEcho { options } => {
            Some(*options)
        }
        ListenerService::Tcp { .. }
        | ListenerService::Echo
        | ListenerService::Frame { .. }
        | ListenerService::Messages { .. }
        | ListenerService::Sni { .. }
        | ListenerService::Http(_) => None,
    }
}

fn udp_options_mut(listener: &mut Listener) -> Option<&mut UdpOptions> {
    match &mut listener.service {
        ListenerService::Udp { options, .. } | ListenerService::UdpEcho { options } => {
            Some(options)
        }
        ListenerService::Tcp { .. }
        | ListenerService::Echo
        | ListenerService::Frame { .. }
        | ListenerService::Messages { .. }
        | ListenerService::Sni { .. }
        | ListenerService::Http(_) => None,
    }
}
