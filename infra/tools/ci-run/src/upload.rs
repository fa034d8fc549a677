//! Uploads of documents to the metrics bucket. A document leaves the folder once the store has it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use aws_config::{BehaviorVersion, timeout::TimeoutConfig};
use aws_sdk_s3::{Client, config::Builder, error::DisplayErrorContext, primitives::ByteStream};
use terminal::Progress;

use crate::{cli::Destination, folder::Folder};

/// The time for making a connection, of that for the whole upload.
const CONNECT_PART: u32 = 3;

/// Uploads a document that was just written.
pub(crate) async fn one(folder: &Folder, path: &Path, bucket: &str, destination: &Destination) -> Result<()> {
    let left = || format!("the document stays in {}; `ci-run upload` sends it", path.display());
    put(&client(destination).await, folder, path, bucket).await.with_context(left)
}

/// Uploads all documents of the folder, and returns their number.
pub(crate) async fn all(folder: &Folder, destination: &Destination) -> Result<usize> {
    let Some(bucket) = &destination.bucket else { bail!("give the metrics bucket with --bucket or CI_RUN_BUCKET") };
    let documents = folder.documents()?;
    let client = client(destination).await;
    let mut progress = Progress::start("Upload");
    for (sent, path) in documents.iter().enumerate() {
        progress.at(format!("{sent} of {}", documents.len()));
        let left = || format!("{sent} of {} documents were uploaded, the others stay", documents.len());
        put(&client, folder, path, bucket).await.with_context(left)?;
    }
    progress.done(&format!("{} documents", documents.len()));
    Ok(documents.len())
}

async fn put(client: &Client, folder: &Folder, path: &Path, bucket: &str) -> Result<()> {
    let body = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let request = client.put_object().bucket(bucket).key(folder.key_of(path)?).content_type("application/json");
    let sent = request.body(ByteStream::from(body)).send().await;
    sent.map_err(|error| anyhow::anyhow!("can't upload to {bucket}: {}", DisplayErrorContext(error)))?;
    match std::fs::remove_file(path) {
        // Another process may have sent it, too: it is the same document.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("it is uploaded, but {} can't be removed", path.display()))
        }
        _ => Ok(()),
    }
}

async fn client(destination: &Destination) -> Client {
    let limit = destination.limit();
    let timeouts = TimeoutConfig::builder().connect_timeout(limit / CONNECT_PART).operation_timeout(limit).build();
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    Client::from_conf(Builder::from(&config).force_path_style(destination.path_style).build())
}
