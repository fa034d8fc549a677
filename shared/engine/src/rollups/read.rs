//! Reading slices over several connections, and handing their lines on in order.
//!
//! ```text
//!  connection 1: slice 0 ──┐      ┌── slice 2 …          each slice has a queue of its own,
//!  connection 2:           slice 1           slice 3 …   and these queues stand in a queue
//!                          └──────────┬──────────┘
//!  consumer:      0, 1, 2, 3 …  ◀─────┘
//! ```
//!
//! Both kinds of queue are bounded. When the consumer is slow, a connection waits with its lines, and with it the
//! database. The queue of queues is filled in the order of the slices, so the slice that the consumer waits for always has
//! its place: nothing waits in a circle.

use std::{
    pin::pin,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{
    RollupError,
    query::{Columns, Estimate, Query},
    slices::{Slice, Slices},
};
use crate::csv::{Chunk, CsvError, CsvWriter};
use copy::{CopyError, Decoder};
use domain::{ExportRequest, OrgId, TimeRange};
use platform::log::Causes;
use postgres::{Connection, Database};

/// How many chunks of a slice may wait: 3 MiB, a little more than a slice of average lines.
const CHUNKS_AHEAD: usize = 12;

/// How an export reads.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many connections a large range is read over, at least one.
    pub connections: usize,
    /// After how long the server ends a statement.
    pub limit: Duration,
}

/// The lines of an export, in order, as of one snapshot.
#[derive(Debug)]
pub struct Lines {
    slices: mpsc::Receiver<Incoming>,
    current: Option<Incoming>,
    /// Up to where everything was given out.
    reached: Timestamp,
    end: Timestamp,
    spare: Spare,
    /// One of them gives back the connection that is kept between exports. All end when this is dropped.
    readers: JoinSet<Option<Arc<Connection>>>,
}

/// A slice that a connection is reading.
#[derive(Debug)]
struct Incoming {
    slice: Slice,
    chunks: mpsc::Receiver<Part>,
}

/// What comes of a slice: its lines, then its end or an error. A queue that just ends is that of a task that was lost.
type Part = Result<Option<Chunk>, RollupError>;

/// Chunks whose memory can be used again.
#[derive(Debug, Clone, Default)]
struct Spare(Arc<StdMutex<Vec<Chunk>>>);

impl Spare {
    fn take(&self) -> Chunk {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, mut chunk: Chunk) {
        chunk.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
    }
}

/// What all connections of an export share.
#[derive(Debug)]
struct Work {
    org: OrgId,
    query: Query,
    columns: Columns,
    spare: Spare,
    desk: Mutex<Desk>,
}

/// Where slices are given out.
#[derive(Debug)]
struct Desk {
    slices: Slices,
    queue: mpsc::Sender<Incoming>,
}

impl Lines {
    /// Begins to read what `request` asks for.
    ///
    /// # Errors
    /// When the database does not answer, or has no such tables.
    pub async fn open(
        database: &Database,
        org: OrgId,
        request: &ExportRequest,
        settings: Settings,
    ) -> Result<Self, RollupError> {
        let (range, query) = (request.range, Query::new(org, request));
        let connection = database.take().await?;
        let mut begin = begin(settings.limit, Some(query.table()));
        let (columns, estimate) = match look(&connection, &begin, &query, range).await {
            // A materialized view or a foreign table. It has no partitions.
            Err(RollupError::Database(error)) if error.is_wrong_object() => {
                connection.batch_execute("rollback").await?;
                begin = self::begin(settings.limit, None);
                look(&connection, &begin, &query, range).await?
            }
            seen => seen?,
        };

        let cut = settings.connections > 1 && query.can_be_cut() && estimate.is_worth_cutting();
        let (slices, helpers) = match cut {
            true => (Slices::many(range, request.granularity, estimate.rows), settings.connections - 1),
            false => (Slices::one(range), 0),
        };
        let (queue, incoming) = mpsc::channel(helpers + 1);
        let spare = Spare::default();
        let desk = Mutex::new(Desk { slices, queue });
        let work = Arc::new(Work { org, query, columns, spare: spare.clone(), desk });
        let mut readers = JoinSet::new();
        if helpers > 0 {
            let snapshot = Arc::new(export_snapshot(&connection).await?);
            for _ in 0..helpers {
                let connecting = database.connector();
                let (work, begin, snapshot) = (work.clone(), begin.clone(), snapshot.clone());
                readers.spawn(async move {
                    let helping = async {
                        let connection = connecting.connect().await?;
                        connection.batch_execute(&format!("{begin}; set transaction snapshot '{snapshot}'")).await?;
                        Ok::<_, RollupError>(connection)
                    };
                    match helping.await {
                        Ok(connection) => {
                            work.read(&connection).await;
                            connection.close().await;
                        }
                        // It came too late: there is nothing left to read, and no snapshot any more.
                        Err(_) if work.desk.lock().await.queue.is_closed() => {}
                        // Slower, but no reason to fail.
                        Err(error) => tracing::warn!(error = %Causes(&error), "the export has a connection less"),
                    }
                    None
                });
            }
        }
        readers.spawn(async move {
            let whole = work.read(&connection).await;
            drop(work);
            // A transaction that is left open would show the next export this one's snapshot.
            (whole && connection.batch_execute("commit").await.is_ok()).then_some(connection)
        });
        Ok(Self { slices: incoming, current: None, reached: range.start(), end: range.end(), spare, readers })
    }

    /// The next lines; `None` at the end of the range.
    ///
    /// # Errors
    /// When a part could not be read. There is no way on after that.
    pub async fn next(&mut self) -> Result<Option<Chunk>, RollupError> {
        loop {
            let incoming = match &mut self.current {
                Some(incoming) => incoming,
                None if self.reached == self.end => return Ok(None),
                None => match self.slices.recv().await {
                    Some(incoming) if incoming.slice.start == self.reached => self.current.insert(incoming),
                    // Each slice begins where the one before it ended, and the last one ends the range.
                    _ => return Err(RollupError::Incomplete),
                },
            };
            match incoming.chunks.recv().await.ok_or(RollupError::Incomplete)?? {
                Some(chunk) => return Ok(Some(chunk)),
                None => {
                    self.reached = incoming.slice.end;
                    self.current = None;
                }
            }
        }
    }

    /// Takes a chunk back whose lines are no longer needed.
    pub fn recycle(&self, chunk: Chunk) {
        self.spare.put(chunk);
    }

    /// Gives the connection back to `database`, for the next export. The others end by themselves.
    pub async fn close(mut self, database: &Database) {
        while let Some(reader) = self.readers.join_next().await {
            if let Ok(Some(connection)) = reader {
                database.keep(connection).await;
                break;
            }
        }
        self.readers.detach_all();
    }
}

impl Work {
    /// Reads slices until none is left; says whether all of them were read to their ends.
    async fn read(&self, client: &Client) -> bool {
        while let Some((slice, chunks)) = self.next_slice().await {
            match self.read_slice(client, slice, &chunks).await {
                Ok(Some(rows)) => {
                    let _ = chunks.send(Ok(None)).await;
                    self.desk.lock().await.slices.learn(slice, rows);
                }
                // Nobody waits for it any more.
                Ok(None) => return false,
                Err(error) => {
                    let _ = chunks.send(Err(error)).await;
                    return false;
                }
            }
        }
        true
    }

    /// The next slice, with the queue for its lines, which has its place among the others.
    async fn next_slice(&self) -> Option<(Slice, mpsc::Sender<Part>)> {
        let mut desk = self.desk.lock().await;
        let slice = desk.slices.next()?;
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        // Waits, and lets the others wait, while there are slices enough under way.
        desk.queue.send(Incoming { slice, chunks }).await.ok()?;
        Some((slice, sender))
    }

    /// Reads a slice and says how many rows it has; `None` if nobody waits for them any more.
    async fn read_slice(
        &self,
        client: &Client,
        slice: Slice,
        chunks: &mpsc::Sender<Part>,
    ) -> Result<Option<u64>, RollupError> {
        let mut stream = pin!(client.copy_out(&self.query.copy(&self.columns, slice)).await?);
        let (mut decoder, mut writer) = (Decoder::new(self.columns.counts), CsvWriter::new(self.org));
        let (mut chunk, mut rows, mut after) = (self.spare.take(), 0, slice.start);
        let failed = |after, error| match error {
            LineError::Copy(source) => RollupError::Copy { after, source },
            LineError::Csv(error) => error.into(),
        };
        while let Some(piece) = stream.try_next().await? {
            let read = decoder.read(&piece, |row| Ok::<_, LineError>(writer.write(row, &mut chunk)?));
            read.map_err(|error| failed(chunk.last_bucket().max(after), error))?;
            if chunk.is_full() {
                (rows, after) = (rows + chunk.sums().rows, chunk.last_bucket());
                if chunks.send(Ok(Some(chunk))).await.is_err() {
                    return Ok(None);
                }
                chunk = self.spare.take();
            }
        }
        decoder.finish().map_err(|error| failed(chunk.last_bucket().max(after), error.into()))?;
        rows += chunk.sums().rows;
        Ok(chunks.send(Ok(Some(chunk))).await.is_ok().then_some(rows))
    }
}

/// Why a piece of the stream did not become lines.
enum LineError {
    Copy(CopyError),
    Csv(CsvError),
}

impl From<CopyError> for LineError {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

impl From<CsvError> for LineError {
    fn from(error: CsvError) -> Self {
        Self::Csv(error)
    }
}

/// One snapshot for all that follows, and what ends it should this process freeze: a transaction that is left open keeps
/// the database from cleaning up.
///
/// The table's partitions are locked before there is a snapshot, as no `select` can do: it takes its snapshot first. Were
/// rows moved to a new partition in between, the old snapshot would not see them there, and the new partition would stand
/// in the way to where they were. Each connection locks them all before it has anything to read: one that had to wait
/// half-way, behind somebody who waits for another, would wait for good.
///
/// No machine code is made for a statement: that takes longer than a slice, and is made anew for each.
fn begin(limit: Duration, table: Option<&str>) -> String {
    let limit = limit.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    let lock = table.map(|table| format!("; lock table {table} in access share mode")).unwrap_or_default();
    format!(
        "begin isolation level repeatable read read only; set local statement_timeout = {limit}; \
         set local idle_in_transaction_session_timeout = {limit}; set local jit = off{lock}"
    )
}

/// Begins, and asks for what has to be known of the tables: one after the other on the wire, without a wait between them.
async fn look(
    client: &Client,
    begin: &str,
    query: &Query,
    range: TimeRange,
) -> Result<(Columns, Estimate), RollupError> {
    let begun = async { Ok(client.batch_execute(begin).await?) };
    // Of two errors the first counts: the second only says that there is no transaction.
    let ((), seen) = tokio::try_join!(biased; begun, query.describe(client, Slice::of(range)))?;
    Ok(seen)
}

/// The name of the transaction's snapshot, by which others can see it too.
async fn export_snapshot(client: &Client) -> Result<String, RollupError> {
    let answer = client.simple_query("select pg_export_snapshot()").await?;
    let name = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    name.map(str::to_owned).ok_or(RollupError::Description)
}
