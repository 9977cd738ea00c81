//! TLS of a listener: what all servers behind one address say of it.

use std::collections::HashSet;

use super::super::document::{Table, Value};
use super::Import;
use super::site::Site;

/// How the servers of a listener ask clients for certificates.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// Servers that need one while others do not.
    pub(super) needed_by: HashSet<usize>,
    /// Servers whose clients cannot be asked as they want it.
    pub(super) closed: HashSet<usize>,
}

/// The table `tls` of a listener, and who needs certificates. The default server comes first.
/// `None`: a certificate is missing.
pub(super) fn table(
    import: &mut Import<'_>,
    sites: &[(usize, &Site<'_>)],
) -> Option<(Table, Certificates)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut known = HashSet::new();
    let mut table = Table::default();
    for (_, site) in sites {
        let certificates = site.scope.all("ssl_certificate");
        let keys = site.scope.all("ssl_certificate_key");
        for (certificate, key) in certificates.iter().zip(keys) {
            let pair = (certificate.arg(0).to_owned(), key.arg(0).to_owned());
            if pair.0.contains('$') || pair.0.starts_with("data:") || pair.1.starts_with("engine:")
            {
                import.note(certificate, "a certificate is a file with a fixed name");
            } else if known.insert(pair.clone()) {
                pairs.push(pair);
            }
        }
    }
    if pairs.is_empty() {
        return None;
    }
    let (certificates, keys): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
    table.set("certificate", Value::one_or_list(&certificates));
    table.set("key", Value::one_or_list(&keys));
    let rejects = |site: &Site<'_>| site.scope.is_on("ssl_reject_handshake");
    if sites.iter().any(|(_, site)| rejects(site)) {
        table.set("strict_sni", true);
    }
    versions(import, sites, &mut table);
    let certificates = clients(import, sites, &mut table);
    Some((table, certificates))
}

fn versions(import: &mut Import<'_>, sites: &[(usize, &Site<'_>)], table: &mut Table) {
    let Some(directive) = sites.first().and_then(|(_, site)| site.scope.last("ssl_protocols"))
    else {
        return;
    };
    let has = |version: &str| directive.args.iter().any(|arg| arg == version);
    if has("TLSv1.3") && !has("TLSv1.2") {
        table.set("min_version", "1.3");
    }
    if has("TLSv1") || has("TLSv1.1") || has("SSLv3") {
        import.note(directive, "TLS 1.2 is the oldest version that Ringway speaks");
    }
}

/// Clients' certificates: one answer for the listener, and conditions of routes where servers
/// differ.
fn clients(
    import: &mut Import<'_>,
    sites: &[(usize, &Site<'_>)],
    table: &mut Table,
) -> Certificates {
    let mut found = Certificates::default();
    let mut authority: Option<String> = None;
    let (mut required, mut optional, mut off) = (Vec::new(), 0_usize, 0_usize);
    for (number, site) in sites {
        let Some(directive) = site.scope.last("ssl_verify_client") else {
            off += 1;
            continue;
        };
        let own = match site.scope.word("ssl_client_certificate") {
            "" => site.scope.word("ssl_trusted_certificate"),
            path => path,
        };
        match directive.arg(0) {
            "on" | "optional" => {}
            "off" => {
                off += 1;
                continue;
            }
            _ => {
                let why = "certificates that nobody verifies cannot be asked for; the server \
                           answers 403";
                import.security(directive, why);
                found.closed.insert(*number);
                continue;
            }
        }
        if own.is_empty() || authority.as_deref().is_some_and(|other| other != own) {
            let why = "a listener has one `client_ca`, and this server has another one; it answers \
                       403";
            import.security(directive, why);
            found.closed.insert(*number);
            continue;
        }
        authority = Some(own.to_owned());
        let list = site.scope.word("ssl_crl");
        if !list.is_empty() {
            table.set("client_crl", list);
        }
        match directive.arg(0) {
            "on" => required.push(*number),
            _ => optional += 1,
        }
    }
    let Some(authority) = authority else { return found };
    let is_common = off == 0 && optional == 0 && found.closed.is_empty();
    table.set("client_auth", if is_common { "required" } else { "optional" });
    table.set("client_ca", authority);
    if !is_common {
        found.needed_by.extend(required);
    }
    found
}

/// The name of a listener of one port.
pub(super) fn name(tls: bool, port: u16) -> String {
    match (tls, port) {
        (false, 80) => "http".to_owned(),
        (true, 443) => "https".to_owned(),
        (false, 0) => "http-unix".to_owned(),
        (true, 0) => "https-unix".to_owned(),
        (false, port) => format!("http-{port}"),
        (true, port) => format!("https-{port}"),
    }
}
