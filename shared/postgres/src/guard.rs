//! A stream that refuses a server which asks for the password in the clear.
//!
//! The driver sends it to whoever asks. Without TLS that may be anybody in between, who then has it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The type of the messages about authentication.
const AUTHENTICATION: u8 = b'R';
/// The codes of such messages, after their headers.
const OK: u32 = 0;
const CLEARTEXT_PASSWORD: u32 = 3;

/// A stream of messages from PostgreSQL. Writes pass through.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    watch: Option<Watch>,
}

/// The place in the messages until authentication has ended.
#[derive(Debug, Default)]
struct Watch {
    /// The beginning of the present message: type, length and, of authentication, what it says.
    head: Vec<u8>,
    /// The bytes that are left of the message.
    rest: usize,
}

impl<S> Guard<S> {
    /// A stream without TLS, whose server may be anybody.
    pub(super) fn watching(inner: S) -> Self {
        Self { inner, watch: Some(Watch::default()) }
    }

    /// A stream that needs no watch.
    pub(super) const fn passing(inner: S) -> Self {
        Self { inner, watch: None }
    }
}

impl Watch {
    /// Looks at bytes as they arrive, and reports whether authentication has ended.
    fn see(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while let Some((first, others)) = bytes.split_first() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.head.push(*first);
            bytes = others;
            let [kind, a, b, c, d, said @ ..] = self.head.as_slice() else { continue };
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let known = 4 + said.len();
            let Some(rest) = length.checked_sub(known) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message with an invalid length"));
            };
            if *kind == AUTHENTICATION {
                let Some(said) = said.first_chunk() else { continue };
                match u32::from_be_bytes(*said) {
                    OK => return Ok(true),
                    CLEARTEXT_PASSWORD => {
                        return Err(io::Error::new(
                            io::ErrorKind::PermissionDenied,
                            "the server asks for the password in the clear; use TLS, or scram-sha-256 on the server",
                        ));
                    }
                    _ => {}
                }
            }
            self.rest = rest;
            self.head.clear();
        }
        Ok(false)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = room.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, room))?;
        if let Some(watch) = &mut this.watch
            && watch.see(&room.filled()[before..])?
        {
            this.watch = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind][..], &(payload.len() as u32 + 4).to_be_bytes(), payload].concat()
    }

    fn authentication(says: u32, more: usize) -> Vec<u8> {
        message(AUTHENTICATION, &[says.to_be_bytes().as_slice(), &vec![3; more]].concat())
    }

    proptest! {
        /// However the bytes are cut, and whatever comes before, the request is found, and nothing is taken for one.
        #[test]
        fn a_request_for_the_password_is_found(
            before in prop::collection::vec((prop::sample::select(b"NvEK".to_vec()), 0usize..50), 0..5),
            scram in 0usize..3,
            asks in any::<bool>(),
            size in 1usize..20,
        ) {
            let mut bytes: Vec<u8> = before.iter().flat_map(|(kind, size)| message(*kind, &vec![0; *size])).collect();
            for _ in 0..scram {
                bytes.extend(authentication(10, 17));
            }
            bytes.extend(authentication(if asks { CLEARTEXT_PASSWORD } else { OK }, 0));
            let mut watch = Watch::default();
            let mut seen = Ok(false);
            for piece in bytes.chunks(size) {
                prop_assert_eq!(seen.as_ref().ok(), Some(&false));
                seen = watch.see(piece);
            }
            match seen {
                Ok(has_ended) => prop_assert!(has_ended && !asks),
                Err(error) => prop_assert!(asks && error.kind() == io::ErrorKind::PermissionDenied),
            }
        }
    }

    #[test]
    fn a_length_of_nonsense_is_an_error() {
        assert!(Watch::default().see(&[b'N', 0, 0, 0, 3]).is_err());
        assert!(Watch::default().see(&[AUTHENTICATION, 0, 0, 0, 5, 0, 0, 0, 3]).is_err());
    }
}
