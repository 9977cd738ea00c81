//! The admin interface of a process that runs: where it is asked, and with which token.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::Admin;
use crate::server::{NO_TOKEN, tokens_of};

/// Bytes of a file of tokens that are read: far more than the tokens that a server takes have.
const TOKEN_FILE_MAX: u64 = 1 << 20;

/// Where a configuration has `path` of the admin interface. `switch` is that which says it instead.
pub(super) fn address_of(admin: &Admin, path: &str, switch: &str) -> Result<String, String> {
    if !admin.enabled || admin.listen.port() == 0 {
        return Err(format!(
            "the configuration does not say where the running process can be asked: give its admin \
             interface, as in {switch} http://127.0.0.1:9901"
        ));
    }
    // One that listens on all addresses is asked on loopback.
    let ip = match admin.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    Ok(complete(&format!("{scheme}://{}", SocketAddr::new(ip, admin.listen.port())), path))
}

/// A URL with `path`, if it has none; an address alone is asked by HTTP.
pub(super) fn complete(url: &str, path: &str) -> String {
    // Where there is no host, the slashes are no path.
    let url = if url.ends_with("://") { url } else { url.trim_end_matches('/') };
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    match url.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
        true => url,
        false => format!("{url}{path}"),
    }
}

/// The first token of a file. Errors do not repeat what is in it.
pub(super) fn token(path: &Path) -> Result<String, String> {
    let wrong = |why: String| format!("the token file {}: {why}", path.display());
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TOKEN_FILE_MAX).read_to_end(&mut bytes));
    read.map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    first_token(&text).map_err(wrong)
}

/// The first token of a text.
fn first_token(text: &str) -> Result<String, String> {
    tokens_of(text).next().unwrap_or_else(|| Err(NO_TOKEN.to_owned())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_ask_is_found_out() {
        for (given, url) in [
            ("127.0.0.1:9901", "http://127.0.0.1:9901/config"),
            ("http://[::1]:9901/", "http://[::1]:9901/config"),
            ("https://a.example", "https://a.example/config"),
            ("http://a.example:80/proxied/config", "http://a.example:80/proxied/config"),
        ] {
            assert_eq!(complete(given, "/config"), url);
        }
        let admin = |listen: &str| {
            let admin = Admin { listen: listen.parse().unwrap(), ..Admin::default() };
            address_of(&admin, "/config", "--against-running")
        };
        assert_eq!(admin("0.0.0.0:1").unwrap(), "http://127.0.0.1:1/config");
        assert_eq!(admin("[::]:1").unwrap(), "http://[::1]:1/config");
        assert_eq!(admin("10.0.0.1:1").unwrap(), "http://10.0.0.1:1/config");
        assert!(admin("127.0.0.1:0").unwrap_err().contains("--against-running http://"));
        let off = Admin { enabled: false, ..Admin::default() };
        assert!(address_of(&off, "/config", "--admin").is_err());
    }

    #[test]
    fn the_first_usable_line_is_the_token() {
        let (one, long) = ("0123456789abcdef", "x".repeat(257));
        for text in [
            one.to_owned(),
            format!("{one}\n"),
            format!("# 0123456789abcdex\n\n  {one}  \r\nanother-token/with+signs==\n"),
            format!("\t\n#\n{one}\nshort\n"),
        ] {
            assert_eq!(first_token(&text).unwrap(), one, "{text:?}");
        }
        for (text, why) in [
            ("", "no token"),
            ("# 0123456789abcdef\n \n", "no token"),
            ("\nsecret\n", "line 2: a token has 16 to 256 characters, got 6"),
            (&long, "got 257"),
            ("secret secret secret", "visible ASCII"),
            ("secretsecretsecret\r\rX: y", "visible ASCII"),
            ("s\u{e9}crets\u{e9}crets\u{e9}cret", "visible ASCII"),
        ] {
            let error = first_token(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }
}
