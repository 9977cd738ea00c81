//! What operators do to the program: signals that it ignores, and logs that nobody reads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::*;

#[test]
fn the_signal_of_an_upgrade_is_ignored_and_says_what_to_do() {
    let echo = "[[listener]]\nname = \"t\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"echo\"\n";
    let program = Program::serve(&[&runtime(1), NO_ADMIN, echo].concat());
    let address = program.addresses[0];
    for _ in 0..20 {
        program.signal(Signal::SIGUSR2);
        assert_eq!(exchange(connect(address), b"alive".to_vec()), b"alive");
    }
    program.signal(Signal::SIGTERM);
    let (status, errors) = program.wait();
    assert!(status.success(), "{errors}");
    assert!(errors.contains("ignored") && errors.contains("SIGHUP"), "{errors}");
    assert!(errors.matches("ignored").count() <= 2, "{errors}");
}

/// The writing end of a pipe that is full, with its reading end.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = OFlag::from_bits_retain(fcntl(writer.as_fd(), FcntlArg::F_GETFL).unwrap());
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(flags)).unwrap();
    (reader, writer)
}

/// A child that is killed at the end.
struct Blocked(Child);

impl Drop for Blocked {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn ask(folder: &Folder, target: &str) -> Option<String> {
    let mut stream = UnixStream::connect(folder.path().join("web")).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A value of the metrics.
fn metric(admin: SocketAddr, name: &str) -> u64 {
    let text = crate::admin::get(admin, "GET /metrics");
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("{name}: {text}")).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn logs_that_nobody_reads_block_neither_answers_nor_signals_nor_the_end() {
    let folder = Folder::new();
    // An address of this test's own: nothing tells which port was chosen.
    let id = std::process::id();
    let admin = format!("127.77.{}.{}:9901", id >> 8 & 255, id & 255);
    let config = format!(
        "{}[admin]\nlisten = \"{admin}\"\n[log]\naccess = true\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\nlisten = \"unix:{1}/web\"\nprotocol = \"http\"\n\
         [listener.access_log]\nformat = \"common\"\npath = \"stdout\"\n\
         [[listener.route]]\nname = \"all\"\nrespond = \"hello\"\n\
         [[listener]]\nname = \"other\"\nlisten = \"unix:{1}/other\"\nprotocol = \"http\"\n\
         [listener.access_log]\nformat = \"common\"\npath = \"{1}/access.log\"\n\
         [[listener.route]]\nname = \"all\"\nrespond = \"hello\"\n",
        runtime(1),
        folder.path().display()
    );
    let config = folder.file("ringway.toml", &config);
    let (_errors, stderr) = full_pipe();
    let (_output, stdout) = full_pipe();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--config"]).arg(config);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut child = Blocked(command.spawn().unwrap());
    wait_until("it serves", || ask(&folder, "/").is_some());
    let admin: SocketAddr = admin.parse().unwrap();
    let long = format!("/{}", "x".repeat(7000));
    wait_until("lines of the access log are dropped, and counted", || {
        (0..50).for_each(|_| assert!(ask(&folder, &long).unwrap().ends_with("hello")));
        metric(admin, "ringway_access_log_lines_lost_total") > 0
    });
    let _counted = metric(admin, "ringway_log_lines_lost_total");
    let id = Pid::from_raw(i32::try_from(child.0.id()).unwrap());
    for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGUSR1] {
        kill(id, signal).unwrap();
        assert!(ask(&folder, "/").unwrap().ends_with("hello"));
        assert!(crate::admin::get(admin, "GET /healthz").ends_with("ok\n"));
    }
    kill(id, Signal::SIGTERM).unwrap();
    wait_until("it ends", || child_has_ended(id));
    assert!(child.0.wait().unwrap().success());
    assert!(TcpStream::connect(admin).is_err());
}

/// Whether a child is a zombie, which its parent has yet to wait for.
fn child_has_ended(id: Pid) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    let (_errors, stderr) = full_pipe();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--config", "/no/such/file"]).stdout(Stdio::null()).stderr(stderr);
    let mut child = Blocked(command.spawn().unwrap());
    let id = Pid::from_raw(i32::try_from(child.0.id()).unwrap());
    wait_until("it ends", || child_has_ended(id));
    assert_eq!(child.0.wait().unwrap().code(), Some(1));
}
