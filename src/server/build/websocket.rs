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
                frame: options.limits.frame_max.into(),
                message: options.limits.message_max.into(),
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
            ping_interval: options.limits.ping_interval,
            idle_timeout: options.limits.idle_timeout,
            close_timeout: options.limits.close_timeout,
            message_rate: options.limits.message_rate,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::server::plan::Planner;
    use crate::session::Workers;
    use crate::session::http_options::{HttpOptions, RouteAction};

    const TEXT: &str = r#"
[[listener]]
name = "web"
listen = "127.0.0.1:0"
protocol = "http"
[[listener.route]]
path = "/topics"
websocket = { service = "topics", topics = "news", publish = false }
[[listener.route]]
path = "/news"
[listener.route.websocket]
service = "topics"
topics = "news"
message_rate = 7
origins = ["https://a.example", "same"]
deflate = false
[[listener.route]]
path = "/relay"
websocket = { service = "relay", upstream = "lines", relay_format = "lines", subprotocols = "a" }
[[listener]]
name = "plain"
listen = "127.0.0.1:0"
protocol = "http"
[[listener.route]]
respond = "a"
[upstream.lines]
servers = "127.0.0.1:1"
[topics.news]
"#;

    /// The options of the HTTP listeners of a plan.
    fn plan(planner: &mut Planner, text: &str) -> Result<Vec<Arc<HttpOptions>>, StartError> {
        let config = config::parse("t", text).unwrap_or_else(|report| panic!("{report}"));
        let sockets = vec![Vec::new(); config.listeners.len()];
        let ready = planner.plan_given(&config, &sockets, crate::runtime::clock::now())?;
        Ok(ready.inventory.http.iter().map(|(_, options)| Arc::clone(options)).collect())
    }

    fn sockets(http: &HttpOptions) -> Vec<&WebSocketOptions> {
        let endpoints = http.routes.iter().map(|route| {
            let RouteAction::WebSocket(options) = &route.action else { panic!("{route:?}") };
            &**options
        });
        endpoints.collect()
    }

    fn set(options: &WebSocketOptions) -> &Arc<crate::session::topic_set::TopicSet> {
        let SocketService::Topics { set, .. } = &options.service else { panic!("{options:?}") };
        set
    }

    #[test]
    fn endpoints_are_made_of_their_tables_and_topics_go_on() {
        let config = config::parse("t", TEXT).expect("a configuration");
        let workers = Arc::new(Workers::new(2, 0, 0));
        let mut planner = Planner::new(workers, &config, None, 1).expect("a planner");
        planner.access = None;
        let first = plan(&mut planner, TEXT).expect("a plan");
        let [web, plain] = first.as_slice() else { panic!("two") };
        let connects = |http: &HttpOptions| http.http2.expect("HTTP/2").extended_connect;
        assert!(connects(web) && !connects(plain));
        assert_eq!(web.upstreams.len(), 1, "the relay's is held");
        let [topics, news, relay] = sockets(web)[..] else { panic!("three") };
        assert!(Arc::ptr_eq(set(topics), set(news)));
        let SocketService::Topics { publish: false, subscribe: true, .. } = topics.service else {
            panic!("{topics:?}")
        };
        let names = Format::ALL.map(|format| format.subprotocol().into());
        assert_eq!(topics.subprotocols, names.into());
        assert_eq!((news.message_rate, news.deflate), (Some((7, 7)), None));
        let others = ["https://a.example".into()].into();
        assert_eq!(news.origins, Origins::Listed { same: true, others });
        let SocketService::Relay { upstream, format: Framing::Lines } = relay.service else {
            panic!("{relay:?}")
        };
        assert_eq!((upstream, relay.subprotocols.contains("a")), (web.upstreams[0], true));

        let changed = TEXT.replace("[topics.news]", "[topics.news]\nqueue_max = 5");
        let second = plan(&mut planner, &TEXT.replace("\"/news\"", "\"/new\"")).expect("a plan");
        assert!(Arc::ptr_eq(set(sockets(&second[0])[0]), set(topics)));
        let third = plan(&mut planner, &changed).expect("a plan");
        let newest = set(sockets(&third[0])[1]);
        assert!(!Arc::ptr_eq(newest, set(topics)));
        assert_eq!((newest.options.queue_max, set(topics).options.queue_max), (5, 1024));
    }

    #[test]
    fn a_handler_that_the_program_has_not_is_told() {
        let text = TEXT.replace(
            "service = \"relay\", upstream = \"lines\", relay_format = \"lines\"",
            "service = \"handler\", handler = \"none\"",
        );
        let config = config::parse("t", &text).expect("a configuration");
        let workers = Arc::new(Workers::new(1, 0, 0));
        let mut planner = Planner::new(workers, &config, None, 1).expect("a planner");
        let error = plan(&mut planner, &text).expect_err("no such handler");
        let StartError::WebSocketHandler { route, name, .. } = error else { panic!("{error}") };
        assert_eq!((route.as_str(), name.as_str()), ("route-3", "none"));
    }
}
