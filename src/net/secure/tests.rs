use super::*;
use crate::net::tls::Aead;
use crate::net::tls::kernel::probe;
use crate::net::tls::peers::session;
use crate::proto::tls::Version;

/// A kernel that takes so many keys to encrypt with, and all to decrypt with.
#[derive(Debug)]
struct Kernel {
    keys: usize,
    receiving: usize,
}

impl TlsCalls for Kernel {
    fn enable_tls(&mut self, _socket: Fd) -> Result<(), Errno> {
        Ok(())
    }

    fn set_tls_transmit(&mut self, _socket: Fd, _info: &[u8]) -> Result<(), Errno> {
        self.keys = self.keys.checked_sub(1).ok_or(Errno::ENOMEM)?;
        Ok(())
    }

    fn tls_transmit(&mut self, _socket: Fd, _info: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn send_tls_record(&mut self, _fd: Fd, _kind: u8, _payload: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn set_tls_receive(&mut self, _socket: Fd, _info: &[u8]) -> Result<(), Errno> {
        self.receiving += 1;
        Ok(())
    }

    fn receive_tls_record(
        &mut self,
        _socket: Fd,
        _into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno> {
        Err(Errno::EAGAIN)
    }

    fn receive_now(&mut self, _socket: Fd, _into: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::EAGAIN)
    }

    fn fill_pipe(&mut self, _writer: Fd, _bytes: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EAGAIN)
    }
}

const SOCKET: Fd = Fd(-1);
const VERSION: Version = Version::Tls13;

/// A server's end that is offered a kernel which may decrypt, too, and its memory.
fn offered() -> (Secure, LoopMemory) {
    let report = probe(&mut Kernel { keys: 100, receiving: 0 }).with_receive();
    let (session, _peer) = session(VERSION, Aead::Aes128Gcm);
    let (mut secure, mut memory) = (Secure::new(session), LoopMemory::default());
    secure.offer(Arc::new(report));
    assert!(secure.may_receive_plain() && !secure.is_offloaded());
    assert!(secure.answer(&mut memory), "tickets go first");
    secure.wire = None;
    (secure, memory)
}

#[test]
fn a_kernel_that_refuses_a_key_is_not_asked_again() {
    let (mut secure, _memory) = offered();
    let mut kernel = Kernel { keys: 0, receiving: 0 };
    for _ in 0..2 {
        secure.offload(&mut kernel, SOCKET);
        secure.offload_receive(&mut kernel, SOCKET);
        assert!(!secure.is_offloaded() && !secure.is_or_may_be_offloaded());
        assert!(!secure.receives_plain() && !secure.may_receive_plain());
        assert!(secure.error().is_none(), "it goes on without the kernel");
    }
    let now = crate::runtime::clock::now();
    secure.session.send(b"hello", now, &mut Vec::new()).unwrap();
    assert_eq!(kernel.receiving, 0);
}

#[test]
fn a_kernel_decrypts_once_it_encrypts_and_not_after_our_end() {
    let (mut secure, _memory) = offered();
    let mut kernel = Kernel { keys: 1, receiving: 0 };
    secure.offload_receive(&mut kernel, SOCKET);
    assert!(!secure.receives_plain(), "it does not encrypt yet");
    secure.offload(&mut kernel, SOCKET);
    secure.offload_receive(&mut kernel, SOCKET);
    assert!(secure.is_offloaded() && secure.receives_plain() && kernel.receiving == 1);
    secure.offload_receive(&mut kernel, SOCKET);
    assert_eq!(kernel.receiving, 1, "once");

    let (mut ended, _memory) = offered();
    ended.offload(&mut Kernel { keys: 1, receiving: 0 }, SOCKET);
    ended.session.note_end();
    ended.offload_receive(&mut kernel, SOCKET);
    assert!(!ended.receives_plain() && kernel.receiving == 1);
    let (session, _peer) = session(VERSION, Aead::Aes128Gcm);
    let mut unanswered = Secure::new(session);
    assert!(unanswered.session.owes_answer());
    unanswered.session.close_notify(&mut Vec::new());
    assert!(!unanswered.session.owes_answer(), "nothing can be said after the end");
}
