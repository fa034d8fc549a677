//! The sources of events: files, standard input, and objects in S3.

use std::{
    fs::File,
    io::{Read, Stdin, stdin},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use flate2::read::MultiGzDecoder;
use tokio_util::io::SyncIoBridge;

use crate::{cli::Format, progress::Counted};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// Bytes, if that is known.
    pub(crate) size: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stdin,
    File,
    Object { client: Client, bucket: String, key: String },
}

/// Finds the files that the names mean, in that order.
pub(crate) async fn find(names: &[String]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for name in names {
        if let Some(rest) = name.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let found = objects(bucket, prefix).await?;
            ensure!(!found.is_empty(), "there is no object below {name}");
            sources.extend(found);
        } else if name == "-" {
            sources.push(Source { name: "standard input".to_owned(), size: 0, place: Place::Stdin });
        } else {
            let size = std::fs::metadata(name).with_context(|| format!("can't open {name}"))?.len();
            sources.push(Source { name: name.clone(), size, place: Place::File });
        }
    }
    Ok(sources)
}

async fn objects(bucket: &str, prefix: &str) -> Result<Vec<Source>> {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let mut config = aws_sdk_s3::config::Builder::from(&sdk);
    // Stores outside AWS seldom have a host name per bucket.
    if sdk.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some() {
        config = config.force_path_style(true);
    }
    let client = Client::from_conf(config.build());
    let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
    let mut sources = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(aws_sdk_s3::Error::from).with_context(|| format!("can't list s3://{bucket}/{prefix}"))?;
        for object in page.contents() {
            let Some(key) = object.key().filter(|key| !key.ends_with('/')) else { continue };
            sources.push(Source {
                name: format!("s3://{bucket}/{key}"),
                size: object.size().unwrap_or_default().unsigned_abs(),
                place: Place::Object { client: client.clone(), bucket: bucket.to_owned(), key: key.to_owned() },
            });
        }
    }
    Ok(sources)
}

impl Source {
    /// The form of its lines, unless it is told.
    pub(crate) fn format(&self, told: Option<Format>) -> Result<Format> {
        if let Some(format) = told {
            return Ok(format);
        }
        let name = self.name.strip_suffix(".gz").unwrap_or(&self.name);
        match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("ndjson" | "jsonl" | "json") => Ok(Format::Ndjson),
            Some("csv") => Ok(Format::Csv),
            _ => bail!("{}: say --format ndjson or --format csv; its name does not", self.name),
        }
    }

    /// Opens it, for a thread that may wait; `counted` sees the bytes as they are read.
    pub(crate) async fn open(&self, counted: &Counted) -> Result<Box<dyn Read + Send>> {
        let opened: Box<dyn Read + Send> = match &self.place {
            Place::Stdin => Box::new(counted.reader::<Stdin>(stdin())),
            Place::File => {
                let file = File::open(&self.name).with_context(|| format!("can't open {}", self.name))?;
                Box::new(counted.reader(file))
            }
            Place::Object { client, bucket, key } => {
                let object = client.get_object().bucket(bucket).key(key).send().await;
                let object =
                    object.map_err(aws_sdk_s3::Error::from).with_context(|| format!("can't read {}", self.name))?;
                Box::new(counted.reader(SyncIoBridge::new(object.body.into_async_read())))
            }
        };
        Ok(if self.name.ends_with(".gz") { Box::new(MultiGzDecoder::new(opened)) } else { opened })
    }
}
