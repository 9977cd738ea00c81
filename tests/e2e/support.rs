//! Servers in this process, the program as a child, and peers on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
use ringway::config;
use ringway::server::{Exit, ReloadError, Reloaded, Running, Server, StartOptions};
use ringway::session::HandlerFactory;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The settings that every test shares: small rings and pools, because many servers run at once.
pub(crate) fn runtime(workers: usize) -> String {
    format!(
        "[runtime]\nworkers = {workers}\npin = false\nring_entries = 64\n\
         completion_entries = 1024\nbuffers = 64\nbuffer_size = \"4KiB\"\n\
         shutdown_timeout = \"20s\"\n"
    )
}

/// An address that refuses connections. Its port stays taken until this process ends, as another
/// test's server would answer there otherwise.
pub(crate) fn nobody() -> SocketAddr {
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address: SockaddrIn = getsockname(socket.into_raw_fd()).unwrap();
    SocketAddr::V4(address.into())
}

/// An address that refuses datagrams, as long as [`nobody`]: its socket takes those of one peer
/// only.
pub(crate) fn nobody_by_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let address = socket.local_addr().unwrap();
    let _descriptor = socket.into_raw_fd();
    address
}

pub(crate) const NO_ADMIN: &str = "[admin]\nenabled = false\n";

/// A listener that proxies to `upstream`.
pub(crate) fn proxy(extra: &str) -> String {
    format!(
        "[[listener]]\nname = \"t\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"tcp\"\n\
         upstream = \"u\"\n{extra}\n"
    )
}

/// The upstream of [`proxy`].
pub(crate) fn upstream(servers: &[SocketAddr], extra: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    format!("[upstream.u]\nservers = [{}]\n{extra}\n", servers.join(", "))
}

/// A server in this process, stopped at the end.
pub(crate) struct Served {
    running: Option<Running>,
}

impl Served {
    pub(crate) fn new(text: &str) -> Self {
        let config = config::parse("test.toml", text).unwrap_or_else(|report| panic!("{report}"));
        Self { running: Some(Server::start(config).unwrap()) }
    }

    /// A server with requests of the test's own.
    pub(crate) fn with_handler(text: &str, handler: HandlerFactory) -> Self {
        Self::with_options(text, StartOptions { handler, ..StartOptions::default() })
    }

    pub(crate) fn with_options(text: &str, options: StartOptions) -> Self {
        let config = config::parse("test.toml", text).unwrap_or_else(|report| panic!("{report}"));
        Self { running: Some(Server::start_with(config, options).unwrap()) }
    }

    /// A proxy with one listener and one upstream.
    pub(crate) fn proxy(workers: usize, servers: &[SocketAddr]) -> Self {
        Self::new(&[&runtime(workers), NO_ADMIN, &proxy(""), &upstream(servers, "")].concat())
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running().addresses()[0].1.ip().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// Where a listener listens.
    pub(crate) fn at(&self, name: &str) -> SocketAddr {
        self.running().address(name).unwrap().ip().unwrap()
    }

    /// Puts another configuration in the place of the one that is served.
    pub(crate) fn reload(&self, text: &str) -> Result<Reloaded, ReloadError> {
        let config = config::parse("test.toml", text).unwrap_or_else(|report| panic!("{report}"));
        self.running().reload(config)
    }

    /// The sum over all workers of what `read` reads.
    pub(crate) fn sum(&self, read: impl Fn(&ringway::session::WorkerCell) -> u64) -> u64 {
        self.running().workers().cells().iter().map(read).sum()
    }

    pub(crate) fn closed(&self, reason: ringway::service::CloseReason) -> u64 {
        self.sum(|cell| cell.stats.listeners.get(0).closed[reason.index()].get())
    }

    pub(crate) fn drain(mut self) -> Exit {
        let running = self.running.take().unwrap();
        running.drain();
        running.wait()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            let _outcome = running.wait();
        }
    }
}

/// Starts `ringway connect`.
pub(crate) fn spawn_connect(args: &[&str]) -> Child {
    Command::new(BINARY)
        .arg("connect")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs `ringway connect` with this on its standard input, which ends then.
pub(crate) fn run_connect(args: &[&str], input: &[u8]) -> Output {
    let mut child = spawn_connect(args);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _gone = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What a command has said on its standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Runs a server on a thread of its own. Returns its address.
pub(crate) fn serve_async<F>(
    talk: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(talk(stream));
            }
        });
    });
    told.recv().unwrap()
}

/// A server whose connections are each given to `serve`, on threads of their own; ends with the
/// test's process.
pub(crate) fn serve(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that gives every byte back and ends when the client does.
pub(crate) fn echo_server() -> SocketAddr {
    serve(|mut stream| {
        let mut reader = stream.try_clone().unwrap();
        let _broken = std::io::copy(&mut reader, &mut stream);
        let _gone = stream.shutdown(Shutdown::Write);
    })
}

/// Recognisable bytes, different at every position.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut random = ringway::ring::sim::Random::new(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.bits().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Sends `sent` in a thread of its own and ends; returns all that comes back.
pub(crate) fn exchange(mut stream: TcpStream, sent: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    received
}

/// Waits until `done`, looking every few milliseconds: for what has no event of its own.
pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    for _ in 0..PATIENCE.as_millis() / 5 {
        if done() {
            return;
        }
        let _time_out = receiver.recv_timeout(Duration::from_millis(5));
    }
    drop(sender);
    panic!("waited in vain: {what}");
}

/// The same where others are driven meanwhile: for what tells no one of itself.
pub(crate) async fn until(what: &str, done: impl Fn() -> bool) {
    let look = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, look).await;
    assert!(found.is_ok(), "waited in vain: {what}");
}

/// A folder of its own, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-e2e-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// The program as a child.
pub(crate) struct Program {
    child: Child,
    pub(crate) addresses: Vec<SocketAddr>,
    errors: Option<JoinHandle<String>>,
    folder: Folder,
}

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ringway");

impl Program {
    /// `ringway serve` with a configuration; returns when it says where it listens.
    pub(crate) fn serve(config: &str) -> Self {
        Self::start(config, &mut Command::new(BINARY))
    }

    /// The same by a command that ends in running the program with the arguments it is given.
    pub(crate) fn start(config: &str, command: &mut Command) -> Self {
        let folder = Folder::new();
        let file = folder.file("ringway.toml", config);
        let mut child = command
            .args(["serve", "--config"])
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
                // The start may have been seen already.
                let _gone = sender.send(line);
            }
            text
        });
        let mut addresses = Vec::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            let mut words = line.split([' ', '"']);
            let address: Option<SocketAddr> = words.find_map(|word| word.parse().ok());
            let is_place = line.contains("try: ") || line.contains("\"listening\"");
            addresses.extend(address.filter(|_| is_place));
            if line.starts_with("Stop it") || line.contains("\"serving\"") {
                break;
            }
        }
        Self { child, addresses, errors: Some(errors), folder }
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ringway.toml")
    }

    /// Puts another configuration file in the place of its own at once.
    pub(crate) fn write(&self, config: &str) {
        let new = self.folder.file("new.toml", config);
        std::fs::rename(new, self.file()).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Its resident memory.
    pub(crate) fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
    }

    /// Waits for its end: the status, and what it wrote to standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.errors.take().unwrap().join().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
