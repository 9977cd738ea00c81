//! Endpoints of WebSockets.

use super::http::HttpBuilder;
use crate::config::{
    self, Config, Listener, RelayFormat, Route, WebSocketOptions as WebSocketConfig,
    WebSocketService,
};
use crate::proto::websocket::{CloseCode, Limits};
use crate::server::StartError;
use crate::service::topics::Format;
use crate::session::websocket_options::{
    DeflateOptions, Origins, RelayFormat as Framing, SocketService, WebSocketOptions,
};

impl HttpBuilder<'_> {
    /// The endpoint of a route.
    pub(super) fn websocket(
        &mut self,
        listener: &Listener,
        route: &Route,
        options: &WebSocketConfig,
        config: &Config,
    ) -> Result<WebSocketOptions, StartError> {
        let service = self.socket_service(listener, route, &options.service, config)?;
        let subprotocols = match &service {
            SocketService::Topics { .. } => {
                Format::ALL.into_iter().map(|format| format.subprotocol().into()).collect()
            }
            SocketService::Echo | SocketService::Relay { .. } | SocketService::Handler(_) => {
                options.subprotocols.iter().map(|name| name.as_str().into()).collect()
            }
        };
        Ok(WebSocketOptions {
            service,
            limits: Limits {
                frame: options.frame_max.into(),
                message: options.message_max.into(),
                // That is agreed on with each client.
                deflate: false,
            },
            subprotocols,
            origins: match &options.origins {
                config::Origins::Any => Origins::Any,
                config::Origins::Listed { same, others } => Origins::Listed {
                    same: *same,
                    others: others.iter().map(|origin| origin.as_str().into()).collect(),
                },
            },
            deflate: options.deflate.then(|| DeflateOptions {
                min: options.deflate_min as usize,
                level: options.deflate_level.into(),
                context_takeover: options.deflate_takeover,
                window_bits: options.deflate_window_bits,
            }),
            ping_interval: options.ping_interval,
            idle_timeout: options.idle_timeout,
            close_timeout: options.close_timeout,
            message_rate: options.message_rate,
            drain_code: CloseCode(options.drain_code),
            drain_window: options.drain_window,
        })
    }

    fn socket_service(
        &mut self,
        listener: &Listener,
        route: &Route,
        service: &WebSocketService,
        config: &Config,
    ) -> Result<SocketService, StartError> {
        Ok(match service {
            WebSocketService::Echo => SocketService::Echo,
            WebSocketService::Topics { topics, publish, subscribe } => SocketService::Topics {
                set: self.topics.set(&config.topics[*topics]),
                publish: *publish,
                subscribe: *subscribe,
            },
            WebSocketService::Relay { upstream, format } => SocketService::Relay {
                upstream: self.upstreams[*upstream],
                format: match format {
                    RelayFormat::Bytes => Framing::Bytes,
                    RelayFormat::Lines => Framing::Lines,
                },
            },
            WebSocketService::Handler(name) => {
                SocketService::Handler(self.websocket_handler(listener, route, name)?)
            }
        })
    }

    /// The place of the program's WebSocket handler of this name.
    fn websocket_handler(
        &self,
        listener: &Listener,
        route: &Route,
        name: &str,
    ) -> Result<usize, StartError> {
        self.websocket_handlers.place(name).ok_or_else(|| StartError::WebSocketHandler {
            listener: listener.name.clone(),
            route: route.name.clone(),
            name: name.to_owned(),
            known: self.websocket_handlers.names().map(str::to_owned).collect(),
        })
    }
}
