//! A stream that joins the rows of a `COPY`.
//!
//! PostgreSQL sends each row as a message of its own, and the driver spends more time on a message than the reader on
//! its row. Here consecutive messages `CopyData` become one, as large as the reader has room for. The protocol allows
//! it: the boundaries of such messages have no meaning.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The size of one read.
const BUFFER_SIZE: usize = 128 << 10;
const COPY_DATA: u8 = b'd';
/// A message's type and its length, which counts itself but not the type.
const HEADER: usize = 5;

/// Bytes pass as they come: the connection is being made, and not all of them are messages.
const RAW: u8 = 0;
/// Messages pass one by one.
const SEPARATE: u8 = 1;
/// Messages of a `COPY` are joined.
const JOINED: u8 = 2;

/// The form in which a stream passes what it reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Arc<AtomicU8>);

impl Switch {
    /// Passes messages from here on. The connection is made and idle.
    pub(super) fn separate(&self) {
        self.0.store(SEPARATE, Ordering::Release);
    }

    /// Joins the messages of each later `COPY`.
    pub(super) fn join(&self) {
        self.0.store(JOINED, Ordering::Release);
    }

    fn is(&self, form: u8) -> bool {
        self.0.load(Ordering::Acquire) == form
    }
}

/// A stream of messages from PostgreSQL, over a stream of bytes. Writes pass through.
#[derive(Debug)]
pub(super) struct Coalesce<S> {
    inner: S,
    switch: Switch,
    /// Its part `start..end` was read and not yet given out.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The bytes that are left of a message that passes unchanged.
    passing: usize,
}

impl<S> Coalesce<S> {
    pub(super) const fn new(inner: S, switch: Switch) -> Self {
        Self { inner, switch, buffer: Vec::new(), start: 0, end: 0, passing: 0 }
    }

    /// Returns the size of the message at the start of some bytes, with its header; `None` if the header is incomplete.
    fn size(bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some([_, length @ ..]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|length| *length >= 4);
        let length =
            length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a message with an invalid length"))?;
        Ok(Some(length + 1))
    }

    /// Gives out the available bytes and reports whether there were any.
    fn give(&mut self, room: &mut ReadBuf<'_>) -> io::Result<bool> {
        let bytes = &self.buffer[self.start..self.end];
        if self.passing == 0 {
            let Some(size) = Self::size(bytes)? else { return Ok(false) };
            let (joined, count) = self.joined(room.remaining())?;
            if count > 1 {
                // One header for all of them, then each without its own.
                let length = u32::try_from(joined - count * HEADER + 4).map_err(io::Error::other)?;
                room.put_slice(&[COPY_DATA]);
                room.put_slice(&length.to_be_bytes());
                let mut rest = &bytes[..joined];
                while let Some(size) = Self::size(rest)? {
                    room.put_slice(&rest[HEADER..size]);
                    rest = &rest[size..];
                }
                self.start += joined;
                return Ok(true);
            }
            // The next read may complete a row.
            if bytes[0] == COPY_DATA && bytes.len() < size && size <= BUFFER_SIZE {
                return Ok(false);
            }
            self.passing = size;
        }
        let now = self.passing.min(bytes.len()).min(room.remaining());
        room.put_slice(&bytes[..now]);
        self.start += now;
        self.passing -= now;
        Ok(now > 0)
    }

    /// Returns the size and the number of the complete `CopyData` messages at the start that fit into `room`.
    fn joined(&self, room: usize) -> io::Result<(usize, usize)> {
        let mut rest = &self.buffer[self.start..self.end];
        let mut joined = 0;
        let mut count = 0;
        while self.switch.is(JOINED)
            && rest.first() == Some(&COPY_DATA)
            && let Some(size) = Self::size(rest)?
            && size <= rest.len()
            // Counted with their headers: a little less than would fit.
            && joined + size <= room
        {
            rest = &rest[size..];
            joined += size;
            count += 1;
        }
        Ok((joined, count))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalesce<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffer.is_empty() {
            if this.switch.is(RAW) {
                return Pin::new(&mut this.inner).poll_read(cx, room);
            }
            this.buffer = vec![0; BUFFER_SIZE];
        }
        loop {
            if this.give(room)? {
                return Poll::Ready(Ok(()));
            }
            this.buffer.copy_within(this.start..this.end, 0);
            this.end -= this.start;
            this.start = 0;
            let mut free = ReadBuf::new(&mut this.buffer[this.end..]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut free))?;
            let read = free.filled().len();
            if read == 0 {
                // The end. An incomplete message is dropped: the driver sees that the stream has ended.
                return Poll::Ready(Ok(()));
            }
            this.end += read;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesce<S> {
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

impl<S: TlsStream + Unpin> TlsStream for Coalesce<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// TLS below the joining, since encrypted bytes have no message boundaries.
#[derive(Debug)]
pub(super) struct CoalesceTls<T>(pub(super) T, pub(super) Switch);

impl<S, T> TlsConnect<Coalesce<S>> for CoalesceTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
    T::Stream: Send,
{
    type Stream = Coalesce<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: Coalesce<S>) -> Self::Future {
        let Self(tls, switch) = self;
        // Still raw, so that it holds nothing back.
        let connecting = tls.connect(stream.inner);
        Box::pin(async move { Ok(Coalesce::new(connecting.await?, switch)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A reader that gives its bytes in pieces of these sizes.
    struct Pieces {
        bytes: Vec<u8>,
        sizes: Vec<usize>,
        next: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let size = self.sizes[self.next % self.sizes.len()].min(self.bytes.len()).min(room.remaining());
            self.next += 1;
            room.put_slice(&self.bytes.drain(..size).collect::<Vec<u8>>());
            Poll::Ready(Ok(()))
        }
    }

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind][..], &(payload.len() as u32 + 4).to_be_bytes(), payload].concat()
    }

    /// The messages, those of `CopyData` that follow each other joined.
    fn messages(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut rest = bytes;
        let mut found = Vec::<(u8, Vec<u8>)>::new();
        while !rest.is_empty() {
            let size = Coalesce::<()>::size(rest).unwrap().unwrap();
            match found.last_mut() {
                Some((COPY_DATA, payload)) if rest[0] == COPY_DATA => payload.extend(&rest[HEADER..size]),
                _ => found.push((rest[0], rest[HEADER..size].to_vec())),
            }
            rest = &rest[size..];
        }
        found
    }

    fn read(bytes: Vec<u8>, sizes: Vec<usize>, room: usize) -> io::Result<Vec<u8>> {
        let switch = Switch::default();
        switch.join();
        read_switched(switch, bytes, sizes, room)
    }

    fn read_switched(switch: Switch, bytes: Vec<u8>, sizes: Vec<usize>, room: usize) -> io::Result<Vec<u8>> {
        let mut stream = Coalesce::new(Pieces { bytes, sizes, next: 0 }, switch);
        let mut all = Vec::new();
        let mut buffer = vec![0; room];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        loop {
            match runtime.block_on(stream.read(&mut buffer))? {
                0 => return Ok(all),
                read => all.extend(&buffer[..read]),
            }
        }
    }

    #[test]
    fn rows_are_joined() {
        let rows: Vec<u8> = (0..1000).flat_map(|_| message(COPY_DATA, &[7; 88])).collect();
        let bytes = [message(b'H', &[0; 3]), rows, message(b'c', &[]), message(b'Z', b"I")].concat();
        let joined = read(bytes.clone(), vec![usize::MAX], 8192).unwrap();
        assert_eq!(messages(&joined), messages(&bytes));
        assert!(joined.len() < bytes.len() - 1000 * HEADER + 20 * HEADER, "{} of {}", joined.len(), bytes.len());
    }

    /// The driver's reader of rows takes one from each message.
    #[test]
    fn rows_stay_separate_unless_they_are_to_be_joined() {
        let bytes: Vec<u8> = (0..100).flat_map(|_| message(COPY_DATA, &[7; 88])).collect();
        let switch = Switch::default();
        switch.separate();
        assert_eq!(read_switched(switch, bytes.clone(), vec![1000], 8192).unwrap(), bytes);
    }

    #[test]
    fn nothing_is_touched_before_it_is_switched_on() {
        let mut stream =
            Coalesce::new(Pieces { bytes: b"N no messages".to_vec(), sizes: vec![3], next: 0 }, Switch::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut text = String::new();
        runtime.block_on(stream.read_to_string(&mut text)).unwrap();
        assert_eq!(text, "N no messages");
        assert!(stream.buffer.is_empty());
    }

    #[test]
    fn a_length_of_nonsense_is_an_error() {
        for length in [[0, 0, 0, 3], [0xff; 4]] {
            let bytes = [&[COPY_DATA][..], &length, &[0; 20]].concat();
            assert_eq!(read(bytes, vec![9], 100).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    proptest! {
        /// However the bytes are cut, the messages and their rows stay the same.
        #[test]
        fn messages_stay_what_they_are(
            messages in prop::collection::vec((prop::sample::select(vec![COPY_DATA, COPY_DATA, b'N', b'C']), 0usize..300), 0..60),
            large in prop::option::of(0usize..300_000),
            sizes in prop::collection::vec(1usize..5000, 1..10),
            room in prop::sample::select(vec![1usize, 4, 5, 6, 100, 8192]),
        ) {
            let mut all: Vec<(u8, Vec<u8>)> =
                messages.iter().enumerate().map(|(n, (kind, size))| (*kind, vec![n as u8; *size])).collect();
            all.extend(large.map(|size| (COPY_DATA, vec![0xEE; size])));
            let bytes: Vec<u8> = all.iter().flat_map(|(kind, payload)| message(*kind, payload)).collect();
            let expected = self::messages(&bytes);
            prop_assert_eq!(self::messages(&read(bytes, sizes, room).unwrap()), expected);
        }
    }
}
