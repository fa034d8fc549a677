//! The walk through the keys of the bucket.

use anyhow::{Context as _, Result};
use ci::{
    Sequencer,
    telemetry::{MetricsBucket, ObjectRef, Outcome, ingest},
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use terminal::Progress;
use tokio_postgres::Client;

use crate::{counts::Counts, keys::Keys, state::State};

/// The end of a walk.
#[derive(Debug)]
pub(crate) enum End {
    /// Every key was read.
    Finished(Counts),
    /// Ctrl-C was pressed.
    Interrupted(Counts),
    /// A document could not be read or stored now, or the bucket could not be listed.
    Failed(Counts, anyhow::Error),
}

/// Ingests the documents of `keys` that follow the state's key, `at_once` of them concurrently.
pub(crate) async fn walk(
    keys: &Keys,
    state: &mut State,
    at_once: usize,
    bucket: &MetricsBucket,
    client: &Client,
) -> End {
    let mut counts = Counts::default();
    let mut progress = Progress::start("");
    if !state.done().is_empty() {
        progress.line(&format!("going on after {}", state.done()));
    }
    let walking = read_pages(keys, state, &mut counts, &mut progress, at_once, bucket, client);
    let ended = tokio::select! {
        ended = walking => Some(ended),
        _ = tokio::signal::ctrl_c() => None,
    };
    progress.clear();
    let saved = match ended {
        Some(Ok(())) => state.finish(),
        _ => state.save(),
    };
    match (ended, saved) {
        (Some(Err(error)), _) | (_, Err(error)) => End::Failed(counts, error),
        (Some(Ok(())), Ok(())) => End::Finished(counts),
        (None, Ok(())) => End::Interrupted(counts),
    }
}

async fn read_pages(
    keys: &Keys,
    state: &mut State,
    counts: &mut Counts,
    progress: &mut Progress,
    at_once: usize,
    bucket: &MetricsBucket,
    client: &Client,
) -> Result<()> {
    loop {
        let mut page = bucket.keys(keys.prefix(), keys.after(state.done())).await.context("can't list the bucket")?;
        let last = page.is_empty() || page.iter().any(|key| keys.is_beyond(key));
        page.retain(|key| !keys.is_beyond(key));
        // In the order of the keys, so that there is one key up to which everything is done.
        let mut ingested = stream::iter(page)
            .map(async |key| {
                let outcome = ingest_one(&key, bucket, client).await;
                (key, outcome)
            })
            .buffered(at_once);
        while let Some((key, outcome)) = ingested.next().await {
            counts.add(outcome?);
            let rate = u128::from(counts.total()) * 1000 / progress.elapsed().as_millis().max(1);
            progress.at(format!("{} documents, {rate} per second, at {key}", counts.total()));
            state.advance(key);
        }
        if last {
            return Ok(());
        }
        state.save()?;
    }
}

async fn ingest_one(key: &str, bucket: &MetricsBucket, client: &Client) -> Result<Option<Outcome>> {
    if !key.ends_with(".json") {
        return Ok(None);
    }
    // A listing knows no sequencer, and means the newest version.
    let object = ObjectRef { key: key.to_owned(), version: None, sequencer: Sequencer::default() };
    Ok(Some(ingest(object, bucket, client, Timestamp::now()).await?))
}
