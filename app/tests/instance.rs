//! The second start speaks to the first.
#![cfg(unix)]

use partita::desktop::{Message, claim, tell};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn the_second_start_speaks_to_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("run");
    assert!(!tell(&folder, Message::Show).unwrap());
    let first = claim(&folder).unwrap().unwrap();
    assert!(claim(&folder).unwrap().is_none());
    for message in [Message::Show, Message::Dictate] {
        assert!(tell(&folder, message).unwrap());
        assert_eq!(first.messages().recv_timeout(Duration::from_secs(5)), Ok(message));
    }
    // What makes no sense, or says nothing, does no harm.
    let socket = folder.join("instance.sock");
    for noise in [&b"\xff\xfe\n"[..], b"", &[b'x'; 100_000]] {
        let _ = UnixStream::connect(&socket).unwrap().write_all(noise);
    }
    assert!(tell(&folder, Message::Show).unwrap());
    drop(first);
    assert!(!tell(&folder, Message::Show).unwrap());
    assert!(claim(&folder).unwrap().is_some());
}

#[test]
fn what_a_dead_instance_left_behind_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("instance.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    assert!(!tell(folder.path(), Message::Show).unwrap());
    let first = claim(folder.path()).unwrap().unwrap();
    assert!(tell(folder.path(), Message::Show).unwrap());
    assert_eq!(first.messages().recv_timeout(Duration::from_secs(5)), Ok(Message::Show));
}
