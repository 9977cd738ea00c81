//! A load that several machines run: agents, and their coordinator.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;

use ringway::load::read::read_file;

use crate::pki::Pki;
use crate::support::*;

const TOKEN: &str = "a token of these tests";

/// An agent that runs.
struct AgentProcess {
    child: Child,
    address: String,
    /// What it says, line by line.
    lines: BufReader<std::process::ChildStderr>,
}

impl AgentProcess {
    fn new(args: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["bench", "agent", "--listen", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let mut this = Self { child, address: String::new(), lines };
        let line = this.line_with("an agent listens on ");
        this.address = line.rsplit(' ').next().unwrap().to_owned();
        this
    }

    /// The next line that has a text.
    fn line_with(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).unwrap();
            assert!(length > 0, "it has ended, and said:\n{all}");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
            all.push_str(&line);
        }
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn bench(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("bench").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

#[test]
fn agents_run_one_load_together_by_tls() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let token = folder.file("token", TOKEN).display().to_string();
    let [cert, key, ca] =
        ["server.pem", "server.key", "ca.pem"].map(|name| pki.path(name).display().to_string());
    let agent = || AgentProcess::new(&["--token-file", &token, "--cert", &cert, "--key", &key]);
    let (one, other) = (agent(), agent());
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let text = [&runtime(1), "[admin]\nenabled = false\n", listener, "[[listener.route]]\n"];
    let served =
        Served::new(&[&text.concat(), "respond = \"hello\"\n", &pki.listener_tls("")].concat());
    let json = folder.path().join("run.json");
    let url = format!("https://{}/", served.at("web"));
    let agents = format!("{},{}", one.address, other.address);
    for more in [&["-n", "301"][..], &["-n", "301", "--rate", "3000"]] {
        let mut command = bench(&[&url, "-c", "8", "-t", "2", "--ca", &ca, "--http1", "-q"]);
        command.args(["--server-name", "localhost", "--interval", "100ms"]);
        command.args(["--agents", &agents, "--agents-token-file", &token, "--agents-ca", &ca]);
        let output = command.args(more).arg("--json").arg(&json).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert!(told(&output).contains("agents"), "{}", told(&output));
        let result = read_file(&json).unwrap();
        assert_eq!((result.counts.sent, result.counts.completed), (301, 301));
        assert_eq!((result.counts.connects, result.latency.total.summary().count), (8, 301));
        assert_eq!(result.latency.tls.summary().count, 8);
        assert_eq!((result.load.threads, &*result.protocol), (4, "HTTP/1.1"));
        let addresses: Vec<_> = result.agents.iter().map(|agent| &agent.address).collect();
        assert!(addresses.len() == 2 && addresses.contains(&&one.address), "{addresses:?}");
        assert!(result.agents.iter().all(|agent| agent.threads == 2 && agent.round_trip_us > 0.0));
    }
}

#[test]
fn an_agent_works_only_for_who_has_its_token_and_for_one_at_a_time() {
    let folder = Folder::new();
    let token = folder.file("token", TOKEN).display().to_string();
    let wrong = folder.file("wrong", "another token of 30 characters").display().to_string();
    let mut agent = AgentProcess::new(&["--token-file", &token, "--plain"]);
    let address = agent.address.clone();
    let run = |url: &str, token: &str, more: &[&str]| {
        let mut command = bench(&[url, "-q", "--agents", &address, "--agents-token-file", token]);
        command.args(more);
        command
    };
    let plain = ["--agents-plain"];
    for (token, more, word) in [
        (&*wrong, &plain[..], "the token is not that of this agent"),
        // TLS with an agent that speaks none.
        (&*token, &[][..], "TLS"),
        (&*token, &["--agents-plain", "-s", "9"], "one request at a time"),
    ] {
        let output = run("http://127.0.0.1:1/", token, more).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains(word), "{}", told(&output));
        assert!(told(&output).contains(&address), "{}", told(&output));
    }
    agent.line_with("a wrong token was refused");
    // One run goes on: its server answers once.
    let (asked, is_asked) = channel();
    let server = serve(move |mut stream| {
        stream.read_exact(&mut [0; 64]).unwrap();
        stream.write_all(&[b'a'; 64]).unwrap();
        let _told = asked.send(());
        let _gone = stream.read_to_end(&mut Vec::new());
    });
    let url = format!("tcp://{server}");
    let first = run(&url, &token, &["--agents-plain", "-d", "10m", "-c", "1"]).spawn().unwrap();
    is_asked.recv().unwrap();
    let second = run(&url, &token, &plain).output().unwrap();
    assert!(told(&second).contains("another run"), "{}", told(&second));
    // Ctrl-C ends the run on the agent, with a report.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let output = first.wait_with_output().unwrap();
    assert!(told(&output).contains("stopped before its end"), "{}", told(&output));
    agent.line_with("the run has ended");
}

#[test]
fn an_agent_that_is_lost_ends_the_run_and_is_told() {
    let folder = Folder::new();
    let token = folder.file("token", TOKEN).display().to_string();
    let (mut lost, mut left) = (
        AgentProcess::new(&["--token-file", &token, "--plain"]),
        AgentProcess::new(&["--token-file", &token, "--plain"]),
    );
    let (asked, is_asked) = channel();
    let server = serve(move |mut stream| {
        let mut question = [0; 64];
        while stream.read_exact(&mut question).is_ok() {
            let _told = asked.send(());
            if stream.write_all(&question).is_err() {
                return;
            }
        }
    });
    let agents = format!("{},{}", lost.address, left.address);
    let json = folder.path().join("run.json");
    let run = bench(&[&format!("tcp://{server}"), "-d", "10m", "-c", "2", "-q", "--rate", "500"])
        .args(["--agents", &agents, "--agents-token-file", &token, "--agents-plain", "--json"])
        .arg(&json)
        .spawn()
        .unwrap();
    (0..50).for_each(|_| is_asked.recv().unwrap());
    lost.child.kill().unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let result = read_file(&json).unwrap();
    assert!(result.counts.completed > 0 && result.agents.len() == 1, "{:?}", result.agents);
    let error = result.errors.iter().find(|one| one.kind == "agent").unwrap();
    assert!(error.example.contains(&lost.address), "{}", error.example);
    left.line_with("the run has ended");
}

#[test]
fn wrong_usage_of_agents_is_told() {
    let folder = Folder::new();
    let short = folder.file("short", "short").display().to_string();
    for (args, word) in [
        (&["http://a/", "--agents", "a:1"][..], "--agents-token-file"),
        (&["http://a/", "--agents", "a"], "a"),
        (
            &["http://a/", "--agents", "a:1", "--agents-token-file", &short],
            "at least 16 characters",
        ),
        (&["http://a/", "--agents-plain"], "--agents"),
        (&["agent", "--token-file", &short], "--cert"),
        (&["agent", "--token-file", &short, "--plain"], "at least 16 characters"),
        (&["agent", "--token-file", "/no/such", "--plain"], "/no/such"),
    ] {
        let output = bench(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {}", told(&output));
        assert!(told(&output).contains(word), "{args:?} {}", told(&output));
    }
}

#[test]
fn several_runs_after_each_other_are_made_on_agents() {
    let folder = Folder::new();
    let token = folder.file("token", TOKEN).display().to_string();
    let agent = || AgentProcess::new(&["--token-file", &token, "--plain"]);
    let (one, other) = (agent(), agent());
    let agents = format!("{},{}", one.address, other.address);
    let [first, second] = [echo_server(), echo_server()].map(|server| format!("tcp://{server}"));
    let output = bench(&["ab", &first, &second, "--rounds", "3", "-c", "4", "-q"])
        .args(["-d", "200ms", "--interval", "50ms", "--rate", "200"])
        .args(["--agents", &agents, "--agents-token-file", &token, "--agents-plain"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("p50"), "{}", told(&output));
}
