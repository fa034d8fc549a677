//! Reads slices over several connections, and returns their lines in order.
//!
//! ```text
//!  connection 1: slice 0 ──┐      ┌── slice 2 …          each slice has a queue of its own,
//!  connection 2:           slice 1           slice 3 …   and these queues stand in a queue
//!                          └──────────┬──────────┘
//!  consumer:      0, 1, 2, 3 …  ◀─────┘
//! ```
//!
//! Both kinds of queue are bounded. When the consumer is slow, a connection waits with its lines, and with it the
//! database. The queue of queues is filled in the order of the slices, so the slice that the consumer waits for always
//! has its place, and there is no deadlock.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_postgres::Client;
use tracing::{Instrument as _, Span, field::Empty, info_span};

use super::{
    RollupError,
    query::{Columns, Description, Query, first_cause, first_value},
    slices::{Slice, Slices},
};
use crate::{
    csv::{CsvError, CsvWriter},
    pool::{ChunkPool, PooledChunk},
};
use copy::{CopyError, Decoder};
use domain::{ExportRequest, Granularity, OrgId, TimeRange};
use platform::log::Causes;
use postgres::{Connection, Connector, Database, DatabaseError, Lease, milliseconds, set_statement_timeout};

/// Chunks of a slice that may wait: 3 MiB, a little more than a slice of average lines.
const MAX_CHUNKS_AHEAD: usize = 12;

/// The settings by which an export reads.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Connections for a large range, at least one.
    pub connections: usize,
    /// The time after which the server ends a statement.
    pub limit: Duration,
}

/// The usage of one moment, before it is read: a transaction of one snapshot, in which the tables are described.
#[derive(Debug)]
pub struct Snapshot {
    connection: Lease,
    connector: Connector,
    /// The statements by which the transaction began.
    begin: String,
    org: OrgId,
    query: Query,
    description: Description,
    range: TimeRange,
    granularity: Granularity,
    connections: usize,
}

/// The lines of an export, in order, as of one snapshot. The first line is the header.
#[derive(Debug)]
pub struct Lines {
    slices: mpsc::Receiver<SliceChunks>,
    current: Option<SliceChunks>,
    /// The end of the slices that were given out completely.
    reached: Timestamp,
    end: Timestamp,
    /// `true` as long as chunks are to sum the models of their days.
    wants_models: Arc<AtomicBool>,
    /// The task that reads over the database's kept connection, and gives it back when it ends.
    first: JoinSet<()>,
    /// The tasks that read over further connections.
    helpers: JoinSet<()>,
}

/// The lines of a slice, as a connection reads them.
#[derive(Debug)]
struct SliceChunks {
    slice: Slice,
    chunks: mpsc::Receiver<SliceItem>,
}

/// Lines of a slice, then `None` at its end, or an error. A queue that ends without either is that of a lost task.
type SliceItem = Result<Option<PooledChunk>, RollupError>;

/// Reads slices; shared by all connections of an export.
#[derive(Debug)]
struct SliceReader {
    org: OrgId,
    query: Query,
    columns: Columns,
    /// The start of the range, whose slice begins with the header.
    start: Timestamp,
    pool: ChunkPool,
    queue: Mutex<SliceQueue>,
    wants_models: Arc<AtomicBool>,
}

/// The slices that are left, and the queue that the consumer reads.
#[derive(Debug)]
struct SliceQueue {
    slices: Slices,
    sender: mpsc::Sender<SliceChunks>,
}

impl Snapshot {
    /// Takes a snapshot of what `request` asks for.
    ///
    /// # Errors
    /// When the database does not answer, or has no such tables.
    pub async fn begin(
        database: &Database,
        org: OrgId,
        request: &ExportRequest,
        settings: Settings,
    ) -> Result<Self, RollupError> {
        let ExportRequest { range, granularity, .. } = *request;
        let query = Query::new(org, request);
        let mut connection = database.take().await?;
        connection.mark_busy();
        let span = database_span("BEGIN", query.table());
        let (begin, description) = begin(&connection, &query, range, settings.limit).instrument(span).await?;
        Ok(Self {
            connection,
            connector: database.connector(),
            begin,
            org,
            query,
            description,
            range,
            granularity,
            connections: settings.connections,
        })
    }

    /// Returns the connection, for further reads of the same moment.
    pub fn client(&self) -> &Client {
        &self.connection
    }

    /// Returns the organization of the request.
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// Returns the range of the request.
    pub const fn range(&self) -> TimeRange {
        self.range
    }
}

impl Lines {
    /// Begins to read the usage of a snapshot.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(snapshot: Snapshot) -> Result<Self, RollupError> {
        let Snapshot { connection, connector, begin, org, query, description, range, granularity, connections } =
            snapshot;
        let Description { columns, estimate } = description;
        let is_cut = connections > 1 && query.can_be_cut() && estimate.is_worth_cutting();
        let helper_count = if is_cut { connections - 1 } else { 0 };
        let slices = if is_cut { Slices::many(range, granularity, estimate.rows) } else { Slices::one(range) };
        let (sender, receiver) = mpsc::channel(helper_count + 1);
        let queue = Mutex::new(SliceQueue { slices, sender });
        let pool = ChunkPool::default();
        let wants_models = Arc::new(AtomicBool::new(true));
        let start = range.start();
        let reader =
            Arc::new(SliceReader { org, query, columns, start, pool, queue, wants_models: wants_models.clone() });
        let mut helpers = JoinSet::new();
        if is_cut {
            let snapshot = first_value(&connection, "select pg_export_snapshot()").await?;
            let snapshot = snapshot.ok_or(RollupError::Description)?;
            let begin = format!("{begin}; set transaction snapshot '{snapshot}'");
            for _ in 0..helper_count {
                helpers.spawn(help(reader.clone(), connector.clone(), begin.clone()).in_current_span());
            }
        }
        let mut first = JoinSet::new();
        first.spawn(read_all(reader, connection).in_current_span());
        Ok(Self { slices: receiver, current: None, reached: start, end: range.end(), wants_models, first, helpers })
    }

    /// Returns the next lines; `None` at the end of the range.
    ///
    /// # Errors
    /// When a part could not be read. The lines must not be used after that.
    pub async fn next(&mut self) -> Result<Option<PooledChunk>, RollupError> {
        loop {
            let current = match &mut self.current {
                Some(current) => current,
                None if self.reached == self.end => return Ok(None),
                None => match self.slices.recv().await {
                    Some(next) if next.slice.start == self.reached => self.current.insert(next),
                    // Each slice begins where the one before it ended, and the last one ends the range.
                    _ => return Err(RollupError::Incomplete),
                },
            };
            match current.chunks.recv().await.ok_or(RollupError::Incomplete)?? {
                Some(chunk) => return Ok(Some(chunk)),
                None => {
                    self.reached = current.slice.end;
                    self.current = None;
                }
            }
        }
    }

    /// Sums no models of the days in further chunks.
    pub(crate) fn skip_models(&self) {
        self.wants_models.store(false, Ordering::Relaxed);
    }

    /// Waits until the kept connection is back with its database, for the next export. Further connections close on
    /// their own.
    pub async fn finish(mut self) {
        while self.first.join_next().await.is_some() {}
        self.helpers.detach_all();
    }
}

/// Reads slices over the kept connection.
async fn read_all(reader: Arc<SliceReader>, mut connection: Lease) {
    // A transaction that is left open would show the next export this one's snapshot.
    if reader.read(&connection).instrument(reader.span()).await && connection.batch_execute("commit").await.is_ok() {
        connection.mark_idle();
    }
}

/// Reads slices over a further connection, in the snapshot that `begin` names.
async fn help(reader: Arc<SliceReader>, connector: Connector, begin: String) {
    let connecting = async {
        let connection = connector.connect().await?;
        connection.batch_execute(&begin).await?;
        Ok::<_, DatabaseError>(connection)
    };
    match connecting.await {
        Ok(connection) => {
            reader.read(&connection).instrument(reader.span()).await;
            connection.close().await;
        }
        // The connection came too late: everything is read, and the snapshot has ended.
        Err(_) if reader.queue.lock().await.sender.is_closed() => {}
        // The export only takes longer.
        Err(error) => tracing::warn!(error = %Causes(&error), "export continues with one connection fewer"),
    }
}

impl SliceReader {
    /// Returns the span of what one connection reads.
    fn span(&self) -> Span {
        database_span("COPY", self.query.table())
    }

    /// Reads slices until none is left. Reports whether all of them were read to their ends.
    async fn read(&self, connection: &Connection) -> bool {
        let mut total = 0;
        while let Some((slice, chunks)) = self.next_slice().await {
            match self.read_slice(connection, slice, &chunks).await {
                Ok(Some(rows)) => {
                    total += rows;
                    Span::current().record("db.response.returned_rows", total);
                    let _ = chunks.send(Ok(None)).await;
                    self.queue.lock().await.slices.learn(slice, rows);
                }
                // The consumer is gone.
                Ok(None) => return false,
                Err(error) => {
                    let _ = chunks.send(Err(error)).await;
                    return false;
                }
            }
        }
        true
    }

    /// Takes the next slice, and adds the queue for its lines to those that the consumer reads.
    async fn next_slice(&self) -> Option<(Slice, mpsc::Sender<SliceItem>)> {
        let mut queue = self.queue.lock().await;
        let slice = queue.slices.next()?;
        let (sender, chunks) = mpsc::channel(MAX_CHUNKS_AHEAD);
        // Waits with the lock, and lets the others wait, while enough slices are being read.
        queue.sender.send(SliceChunks { slice, chunks }).await.ok()?;
        Some((slice, sender))
    }

    fn take_chunk(&self) -> PooledChunk {
        let mut chunk = self.pool.take();
        if !self.wants_models.load(Ordering::Relaxed) {
            chunk.skip_models();
        }
        chunk
    }

    /// Reads a slice and returns its number of rows; `None` if the consumer is gone.
    async fn read_slice(
        &self,
        connection: &Connection,
        slice: Slice,
        chunks: &mpsc::Sender<SliceItem>,
    ) -> Result<Option<u64>, RollupError> {
        let copy = self.query.copy(&self.columns, slice);
        let mut stream = pin!(connection.copy_out_joined(&copy).await?);
        let mut decoder = Decoder::new(self.columns.counts);
        let mut writer = CsvWriter::new(self.org);
        let mut chunk = self.take_chunk();
        if slice.start == self.start {
            chunk.write_header();
        }
        let mut rows = 0;
        let mut after = slice.start;
        let failed = |after, error| match error {
            LineError::Copy(source) => RollupError::Copy { after, source },
            LineError::Csv(error) => error.into(),
        };
        while let Some(piece) = stream.try_next().await.map_err(DatabaseError::from)? {
            // The chunk itself: through its guard, each row would cost an indirection.
            let lines = &mut *chunk;
            let read = decoder.read(&piece, |row| Ok::<_, LineError>(writer.write(row, lines)?));
            read.map_err(|error| failed(chunk.last_bucket().max(after), error))?;
            if chunk.is_full() {
                rows += chunk.sums().rows;
                after = chunk.last_bucket();
                chunk.end().map_err(CsvError::from)?;
                if chunks.send(Ok(Some(chunk))).await.is_err() {
                    return Ok(None);
                }
                chunk = self.take_chunk();
            }
        }
        decoder.finish().map_err(|error| failed(chunk.last_bucket().max(after), error.into()))?;
        rows += chunk.sums().rows;
        chunk.end().map_err(CsvError::from)?;
        Ok(chunks.send(Ok(Some(chunk))).await.is_ok().then_some(rows))
    }
}

/// The reason that a piece of the stream did not become lines.
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

/// Returns the span of an operation on a table of rollups.
fn database_span(operation: &'static str, table: &str) -> Span {
    info_span!(
        "postgresql",
        otel.name = format!("{operation} {table}"),
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = operation,
        db.collection.name = table,
        db.response.returned_rows = Empty,
    )
}

/// Begins the transaction of an export and describes its tables. Returns the statements by which it began, for further
/// connections.
async fn begin(
    client: &Client,
    query: &Query,
    range: TimeRange,
    limit: Duration,
) -> Result<(String, Description), RollupError> {
    let begin = begin_statements(limit, Some(query.table()));
    match describe(client, &begin, query, range).await {
        // A materialized view or a foreign table cannot be locked. It has no partitions.
        Err(RollupError::Database(error)) if error.is_wrong_object() => {
            client.batch_execute("rollback").await.map_err(DatabaseError::from)?;
            let begin = begin_statements(limit, None);
            let description = describe(client, &begin, query, range).await?;
            Ok((begin, description))
        }
        description => Ok((begin, description?)),
    }
}

/// Returns the statements that begin a transaction of one snapshot. Its idle time is limited, since a transaction that
/// a frozen process leaves open keeps the database from cleaning up.
///
/// The table's partitions are locked before the snapshot is taken, which no `select` can do. Rows that are moved to a
/// new partition after the snapshot would be invisible there, and could not be found at their old place either. Each
/// connection locks all partitions before it reads: a connection that waits for a lock later, behind a session that
/// waits for another connection of this export, would wait forever.
///
/// JIT is off. Compiling a statement takes longer than a slice, and is repeated for each.
fn begin_statements(limit: Duration, table: Option<&str>) -> String {
    let timeout = set_statement_timeout(limit);
    let idle = milliseconds(limit);
    let lock = table.map(|table| format!("; lock table {table} in access share mode")).unwrap_or_default();
    format!(
        "begin isolation level repeatable read read only; {timeout}; \
         set local idle_in_transaction_session_timeout = {idle}; set local jit = off{lock}"
    )
}

/// Begins, and describes the tables, without a wait in between.
async fn describe(client: &Client, begin: &str, query: &Query, range: TimeRange) -> Result<Description, RollupError> {
    let (begun, description) = tokio::join!(client.batch_execute(begin), query.describe(client, Slice::of(range)));
    match (begun.map_err(DatabaseError::from), description) {
        (Ok(()), description) => description,
        // Without a transaction, the description fails only as its consequence.
        (Err(begun), Err(RollupError::Database(described))) => {
            Err(first_cause([Some(begun), Some(described)]).map_or(RollupError::Description, RollupError::from))
        }
        (Err(begun), _) => Err(begun.into()),
    }
}
