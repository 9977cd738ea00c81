//! Which route a request would take, for `ringway check --explain`.

use std::fmt::Write;

use super::build::{self, http::router};
use crate::config::Config;
use crate::net::tls::Subject;
use crate::proto::http::{RequestHead, is_token};
use crate::proto::http1::{HeadLimits, RequestReader};
use crate::service::http::certificate::ClientCertificate;

/// Says for each HTTP listener which route a request such as `GET http://host/path` takes, and why
/// those before it do not. Further lines of `request` are fields, as in `accept: text/html`.
/// With `certificate`, the client shows the first certificate of that PEM.
///
/// # Errors
/// What is wrong with the request or the certificate, or that there is no HTTP listener.
pub fn explain(
    config: &Config,
    request: &str,
    certificate: Option<&[u8]>,
) -> Result<String, String> {
    let head = parse(request)?;
    let shown = certificate.map(shown).transpose()?;
    let mut text = String::new();
    for listener in build::streams(config) {
        let Some(http) = listener.service.http() else { continue };
        let router = router(http);
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "listener {}:", listener.name);
        let considered = router.explain(&head, shown.as_ref());
        for one in &considered {
            let name = http.routes.get(one.route).map_or("", |route| route.name.as_str());
            let mark = if one.matched { "takes it" } else { "no" };
            let _infallible = writeln!(text, "  {name:<20} {mark:<9} {}", one.why);
        }
        if !considered.iter().any(|one| one.matched) {
            text.push_str("  no route takes it: 404\n");
        }
    }
    if text.is_empty() {
        return Err("there is no listener with protocol = \"http\"".to_owned());
    }
    Ok(text)
}

/// What a client with this certificate shows.
fn shown(pem: &[u8]) -> Result<ClientCertificate, String> {
    let Subject { name, alternatives, fingerprint } =
        Subject::of_pem(pem).map_err(|error| format!("the certificate: {error}"))?;
    Ok(ClientCertificate { subject: name, names: alternatives, fingerprint })
}

/// Reads the request as a server would.
fn parse(request: &str) -> Result<RequestHead, String> {
    const FORM: &str = "write it as \"GET http://host/path\"";
    let mut lines = request.lines();
    let first = lines.next().unwrap_or_default();
    let (method, target) = first.split_once(' ').ok_or_else(|| FORM.to_owned())?;
    if !is_token(method.as_bytes()) || !target.contains("://") {
        return Err(FORM.to_owned());
    }
    let mut text = format!("{method} {} HTTP/1.1\r\nhost: localhost\r\n", target.trim());
    for line in lines {
        text.push_str(line.trim());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut head = RequestHead::default();
    let read = RequestReader::default().read(text.as_bytes(), &HeadLimits::default(), &mut head);
    match read {
        Ok(Some(_)) => Ok(head),
        Ok(None) => Err(FORM.to_owned()),
        Err(refusal) => {
            Err(format!("a server would refuse it with {}: {}", refusal.status(), refusal.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_s_route_is_explained() {
        let text = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
            [[listener.route]]\nname = \"api\"\npath_prefix = \"/api\"\nrespond = \"api\"\n\
            [[listener.route]]\nname = \"rest\"\nhost = \"a.example\"\nrespond = \"rest\"\n";
        let config = crate::config::parse("t", text).unwrap();
        let told = explain(&config, "GET http://a.example/x", None).unwrap();
        assert!(told.contains("api") && told.contains("no") && told.contains("takes it"), "{told}");
        let told = explain(&config, "GET http://b.example/x", None).unwrap();
        assert!(told.contains("404"), "{told}");
        for bad in ["", "GET", "GET /x", "GET http://a/%"] {
            assert!(explain(&config, bad, None).is_err(), "{bad}");
        }
        assert!(explain(&crate::config::Config::default(), "GET http://a/", None).is_err());
    }
}
