//! What `ringway serve` runs without a configuration file: what its switches say, or the built-in
//! configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use super::ServeArgs;
use crate::config::{self, Config, ListenAddress};

/// Where `--files` and `--proxy` listen by default, and the page of the built-in configuration.
const LISTEN: &str = "127.0.0.1:8080";
/// The listener of that page.
pub(super) const PAGE: &str = "web";

/// The value of `--admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminSwitch {
    /// It is switched off.
    Off,
    /// It listens here.
    At(SocketAddr),
}

impl FromStr for AdminSwitch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        // Whoever reaches it may read it: that it listens everywhere has to be written out.
        text.parse().map(Self::At).map_err(|_| {
            "write IP:PORT, as in 127.0.0.1:9901 (whoever can reach it may read it), or off"
                .to_owned()
        })
    }
}

/// The configuration of the switches, or the built-in one.
pub(super) fn configuration(args: &ServeArgs) -> Result<Config, String> {
    let what = match (&args.files, &args.proxy) {
        (Some(folder), _) => files(folder)?,
        (None, Some(url)) => proxy(url)?,
        (None, None) => return built_in(args),
    };
    let listen = args.listen.as_deref().map_or_else(|| vec![LISTEN.to_owned()], addresses);
    let listen: Vec<String> = listen.iter().map(|address| quoted(address)).collect();
    let admin = match args.admin {
        None => String::new(),
        Some(AdminSwitch::Off) => "[admin]\nenabled = false\n".to_owned(),
        Some(AdminSwitch::At(address)) => format!("[admin]\nlisten = \"{address}\"\n"),
    };
    let text = format!(
        "{admin}[[listener]]\nname = \"{PAGE}\"\nlisten = [{}]\nprotocol = \"http\"\n\
         [[listener.route]]\n{what}",
        listen.join(", ")
    );
    config::parse("the switches", &text).map_err(|report| format!("invalid switches\n{report}"))
}

/// The built-in configuration, with the page and the admin interface where the switches say.
fn built_in(args: &ServeArgs) -> Result<Config, String> {
    let mut config = config::embedded();
    if let Some(listen) = &args.listen {
        let parse = |text: String| {
            let address: Result<ListenAddress, _> = text.parse();
            address.map_err(|error| format!("--listen {text}: {error}"))
        };
        let all = addresses(listen).into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        for listener in config.listeners.iter_mut().filter(|listener| listener.name == PAGE) {
            listener.listen.clone_from(&all);
        }
    }
    match args.admin {
        None => {}
        Some(AdminSwitch::Off) => config.admin.enabled = false,
        Some(AdminSwitch::At(address)) => config.admin.listen = address,
    }
    Ok(config)
}

fn files(folder: &Path) -> Result<String, String> {
    let whole = std::fs::canonicalize(folder)
        .map_err(|error| format!("--files {}: {error}", folder.display()))?;
    let path = whole.to_str().ok_or("--files: the path is not UTF-8")?;
    Ok(format!("name = \"files\"\nfiles = {}\nlisting = true\n", quoted(path)))
}

fn proxy(url: &str) -> Result<String, String> {
    let (server, port, tls) = match url.strip_prefix("https://") {
        Some(server) => (server, 443, "[upstream.server.tls]\n"),
        None => (url.strip_prefix("http://").unwrap_or(url), 80, ""),
    };
    let server = server.trim_end_matches('/');
    if server.contains('/') && !server.starts_with("unix:") {
        return Err(format!(
            "--proxy {url}: give the server without a path; `prefix_rewrite` of a route changes \
             paths"
        ));
    }
    let server = match port_of(server) {
        // A server on this machine may listen on one of 127.0.0.1 and [::1] only.
        Some(port) => format!("localhost:{port}"),
        None if has_port(server) => server.to_owned(),
        None => format!("{server}:{port}"),
    };
    let server = quoted(&server);
    Ok(format!(
        "name = \"proxy\"\nproxy = \"server\"\n[upstream.server]\nservers = [{server}]\n{tls}"
    ))
}

/// Whether a server is given with its port. A colon within brackets belongs to an IPv6 address.
fn has_port(server: &str) -> bool {
    server.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

/// The port of `:PORT` or `PORT`.
fn port_of(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The addresses of `--listen`: `:PORT` stands for all that this machine has.
fn addresses(text: &str) -> Vec<String> {
    let Some(port) = port_of(text) else { return vec![text.to_owned()] };
    let mut all = vec![format!("0.0.0.0:{port}")];
    // Where IPv6 is switched off, its addresses cannot be listened on. Port 0 is one port.
    let has_v6 = std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|text| !text.is_empty());
    if has_v6 && port != 0 {
        all.push(format!("[::]:{port}"));
    }
    all
}

/// A text as TOML has it.
pub(in crate::cli) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, ListenerService};

    fn servers(url: &str) -> Result<Vec<String>, String> {
        let args = ServeArgs { proxy: Some(url.to_owned()), ..ServeArgs::default() };
        let config = configuration(&args)?;
        let upstream = &config.upstreams[0];
        let tls = if upstream.tls.is_some() { "tls " } else { "" };
        Ok(upstream.servers.iter().map(|server| format!("{tls}{server}")).collect())
    }

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        for (url, server) in [
            (":3000", "localhost:3000"),
            ("3000", "localhost:3000"),
            ("http://:3000/", "localhost:3000"),
            ("https://:3000", "tls localhost:3000"),
            ("https://example.com", "tls example.com:443"),
            ("http://example.com:81", "example.com:81"),
            ("http://[::1]", "[::1]:80"),
            ("[::1]:81", "[::1]:81"),
        ] {
            assert_eq!(servers(url), Ok(vec![server.to_owned()]), "{url}");
        }
        for url in ["", ":", "http://a/b", ":99999", "a b", ":0"] {
            assert!(servers(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_port_alone_is_listened_on_at_all_addresses() {
        for (listen, first) in [
            (":8080", "0.0.0.0:8080"),
            ("8080", "0.0.0.0:8080"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:1", "[::1]:1"),
        ] {
            let listen = Some(listen.to_owned());
            let proxy = Some(":1".to_owned());
            for proxy in [None, proxy] {
                let args = ServeArgs { listen: listen.clone(), proxy, ..ServeArgs::default() };
                let config = configuration(&args).unwrap();
                assert_eq!(config.listeners[0].listen[0].to_string(), first);
            }
        }
        assert_eq!(addresses(":0"), ["0.0.0.0:0"]);
        let args = ServeArgs { listen: Some("here".to_owned()), ..ServeArgs::default() };
        assert!(configuration(&args).unwrap_err().contains("--listen here"));
    }

    #[test]
    fn the_admin_interface_is_where_it_is_said() {
        assert_eq!("off".parse(), Ok(AdminSwitch::Off));
        for text in ["", ":9901", "9901", "localhost:9901", "on"] {
            assert!(text.parse::<AdminSwitch>().is_err(), "{text}");
        }
        let at: AdminSwitch = "127.0.0.1:1".parse().unwrap();
        for proxy in [None, Some(":1".to_owned())] {
            let args = ServeArgs { admin: Some(at), proxy, ..ServeArgs::default() };
            let admin = configuration(&args).unwrap().admin;
            assert_eq!((admin.enabled, admin.listen.to_string().as_str()), (true, "127.0.0.1:1"));
            let args = ServeArgs { admin: Some(AdminSwitch::Off), ..args };
            assert!(!configuration(&args).unwrap().admin.enabled);
        }
    }

    #[test]
    fn a_folder_of_any_name_is_served() {
        let name = format!("ringway-\"odd\\ \n'{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let args = ServeArgs { files: Some(folder.clone()), ..ServeArgs::default() };
        let config = configuration(&args);
        std::fs::remove_dir_all(&folder).unwrap();
        let config = config.unwrap();
        let ListenerService::Http(http) = &config.listeners[0].service else { panic!("HTTP") };
        let Action::Files(files) = &http.routes[0].action else { panic!("files") };
        assert!(files.root.ends_with(folder.file_name().unwrap()));
    }
}
