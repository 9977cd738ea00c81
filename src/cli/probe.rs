//! `ringway doctor --tls HOST:PORT`: what a server of TLS shows.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use super::connect::screen;
use super::{fail, print};
use crate::net::tls::{ClientOptions, Info, Roots, ServerName, Session, Summary, client_config};
use crate::proto::tls::Pin;

/// The last second that HTTP's format of times can show.
const YEAR_9999_END: u64 = 253_402_300_799;
/// How long the server may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a server's part of the handshake at most.
const HANDSHAKE_MAX: usize = 256 * 1024;

/// Runs the probe.
pub(super) fn run(target: &str) -> ExitCode {
    match report(target) {
        Ok(text) => print(text.as_bytes()),
        Err(message) => fail(&format!("{target}: {message}")),
    }
}

fn report(target: &str) -> Result<String, String> {
    let host = target.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| "expected HOST:PORT, as in example.com:443".to_owned())?;
    let (info, chain) = shake(target, &name, Roots::Nobody)?;
    let mut text = String::new();
    let group = info.group.unwrap_or("none");
    let Info { version, suite, .. } = info;
    let _ok = writeln!(text, "protocol  {version}\nsuite     {suite}\ngroup     {group}");
    for (at, one) in chain.iter().enumerate() {
        let _ok = writeln!(text, "\ncertificate {at}\n  subject   {}", one.subject);
        let _ok = writeln!(text, "  issuer    {}", one.issuer);
        if !one.names.is_empty() {
            let _ok = writeln!(text, "  names     {}", one.names.join(", "));
        }
        let _ok = writeln!(text, "  valid     {} to {}", date(one.not_before), date(one.not_after));
        let _ok = writeln!(text, "  pin       {}", Pin::Key(one.key_fingerprint));
        let _ok = writeln!(text, "  pin       {}", Pin::Certificate(one.fingerprint));
    }
    let verified = match shake(target, &name, Roots::System) {
        Ok(_) => "yes, by an issuer that the system trusts".to_owned(),
        Err(why) => format!("no: {why}"),
    };
    let _ok = writeln!(text, "\nverified  {verified}");
    // Names are what the server says.
    Ok(text.chars().map(screen::shown).collect())
}

/// A handshake, and what the server has shown.
fn shake(
    target: &str,
    name: &ServerName<'static>,
    roots: Roots,
) -> Result<(Info, Vec<Summary>), String> {
    let config = client_config(ClientOptions { roots, ..ClientOptions::default() })?;
    let session = Session::client(&config, name.clone(), HANDSHAKE_MAX);
    let mut session = session.map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(target).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let (mut scratch, mut plain, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    session.start(&mut wire).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        stream.write_all(&wire).map_err(failed)?;
        wire.clear();
        if !session.is_handshaking() {
            break;
        }
        let count = stream.read(&mut buffer).map_err(failed)?;
        let input = buffer.get(..count).unwrap_or_default();
        let result = match count {
            0 => session.receive_end(),
            _ => session.receive(input, &mut scratch, &mut plain, &mut wire).map(|_| ()),
        };
        if let Err(error) = result {
            // The alert; whoever is gone does not need it.
            let _gone = stream.write_all(&wire);
            return Err(error.to_string());
        }
    }
    let info = session.info().ok_or("the handshake told nothing")?;
    let chain = session.peer_certificates().iter().map(Summary::of);
    let chain: Result<Vec<Summary>, _> = chain.collect();
    Ok((info, chain.map_err(|error| error.to_string())?))
}

/// A time as HTTP writes it.
fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(YEAR_9999_END);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
}
