//! Buckets of organizations. Each request names the account that owns the bucket: one that another account made in the
//! meantime is refused by S3.

use std::mem;

use aws_sdk_s3::{
    Client,
    config::{Builder, Region},
    error::{DisplayErrorContext, ProvideErrorMetadata},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use domain::settings::Destination;
use platform::aws::SdkConfig;
use tracing::warn;

/// The size of every part but the last. S3 allows at least 5 MiB and at most 10,000 parts.
const PART_SIZE: usize = 8 << 20;

/// The clients of organizations' buckets.
#[derive(Debug)]
pub(crate) struct Buckets(SdkConfig);

/// An organization's bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    client: Client,
    name: String,
    owner: String,
}

/// A request that a bucket did not fulfil.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {key:?} in the bucket: {message}")]
pub(crate) struct BucketError {
    action: &'static str,
    key: String,
    code: Option<String>,
    message: String,
}

impl BucketError {
    fn new<E: ProvideErrorMetadata + std::error::Error>(action: &'static str, key: &str, error: &E) -> Self {
        let message = DisplayErrorContext(error).to_string();
        Self { action, key: key.to_owned(), code: error.code().map(str::to_owned), message }
    }

    /// Returns the reason in words for the organization.
    pub(crate) fn reason(&self) -> String {
        let Self { action, key, code, .. } = self;
        match code.as_deref() {
            Some("AccessDenied" | "403" | "Forbidden") => format!(
                "the bucket does not let this service {action} {key}, or belongs to another account than the settings say"
            ),
            Some("NoSuchBucket") => "there is no such bucket".to_owned(),
            Some("PermanentRedirect" | "IllegalLocationConstraintException" | "AuthorizationHeaderMalformed") => {
                "the bucket is in another region than the settings say".to_owned()
            }
            Some(code) => format!("the bucket answered {code} to the request to {action} {key}"),
            None => format!("the bucket did not answer the request to {action} {key}"),
        }
    }
}

impl Buckets {
    pub(crate) fn new(sdk: &SdkConfig) -> Self {
        Self(sdk.clone())
    }

    /// Returns the client of an organization's bucket. Files may be stored outside of AWS; these buckets are Amazon's.
    pub(crate) fn of(&self, destination: &Destination) -> Bucket {
        let mut builder = Builder::from(&self.0);
        builder.set_endpoint_url(self.0.endpoint_url().map(str::to_owned));
        // A local endpoint has no host name per bucket.
        builder.set_force_path_style(Some(self.0.endpoint_url().is_some()));
        if let Some(region) = &destination.region {
            builder.set_region(Some(Region::new(region.as_str().to_owned())));
        }
        Bucket {
            client: Client::from_conf(builder.build()),
            name: destination.bucket.as_str().to_owned(),
            owner: destination.account.as_str().to_owned(),
        }
    }
}

impl Bucket {
    /// Begins to read an object; `None` if there is none.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Read>, BucketError> {
        let request = self.client.get_object().bucket(&self.name).key(key).expected_bucket_owner(&self.owner);
        match request.send().await {
            Ok(answer) => Ok(Some(Read { key: key.to_owned(), stream: answer.body })),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => Ok(None),
            Err(error) => Err(BucketError::new("read", key, &error)),
        }
    }

    /// Begins the upload of an object. Nothing is sent yet.
    pub(crate) fn upload(&self, key: &str, content_type: &'static str) -> Upload {
        Upload { bucket: self.clone(), key: key.to_owned(), content_type, parts: None, buffer: Vec::new() }
    }
}

/// The bytes of an object, as they arrive.
#[derive(Debug)]
pub(crate) struct Read {
    key: String,
    stream: ByteStream,
}

impl Read {
    /// Returns the next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BucketError> {
        self.stream.try_next().await.map_err(|error| BucketError {
            action: "read",
            key: self.key.clone(),
            code: None,
            message: error.to_string(),
        })
    }
}

/// An upload in progress: one request, or parts one after the other, so that at most one part is in memory. The store
/// compares the checksum of each request.
#[derive(Debug)]
#[must_use = "an upload that is neither finished nor aborted leaves its parts in the bucket"]
pub(crate) struct Upload {
    bucket: Bucket,
    key: String,
    content_type: &'static str,
    parts: Option<(String, Vec<CompletedPart>)>,
    buffer: Vec<u8>,
}

impl Upload {
    /// Adds bytes to the end of the object.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), BucketError> {
        while !bytes.is_empty() {
            if self.buffer.len() == PART_SIZE {
                self.send_part().await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_SIZE - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Makes the object visible.
    pub(crate) async fn finish(mut self) -> Result<(), BucketError> {
        let finished = self.try_finish().await;
        if finished.is_err() {
            self.abort().await;
        }
        finished
    }

    async fn try_finish(&mut self) -> Result<(), BucketError> {
        if self.parts.is_none() {
            return self.put().await;
        }
        self.send_part().await?;
        let Some((id, parts)) = &mut self.parts else { return Ok(()) };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(mem::take(parts))).build();
        let request = self.bucket.client.complete_multipart_upload().bucket(&self.bucket.name).key(&self.key);
        let request = request.expected_bucket_owner(&self.bucket.owner).upload_id(&*id).multipart_upload(parts);
        request.send().await.map_err(|error| BucketError::new("write", &self.key, &error))?;
        self.parts = None;
        Ok(())
    }

    /// Aborts the upload. A failure is logged: the bucket's owner may have a lifecycle rule for such parts.
    pub(crate) async fn abort(self) {
        let Some((id, _)) = self.parts else { return };
        let request = self.bucket.client.abort_multipart_upload().bucket(&self.bucket.name).key(&self.key);
        if let Err(error) = request.expected_bucket_owner(&self.bucket.owner).upload_id(id).send().await {
            warn!(error = %DisplayErrorContext(&error), "parts of an upload left in the bucket of an organization");
        }
    }

    async fn put(&mut self) -> Result<(), BucketError> {
        let request = self.bucket.client.put_object().bucket(&self.bucket.name).key(&self.key);
        let request = request
            .expected_bucket_owner(&self.bucket.owner)
            .content_type(self.content_type)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(mem::take(&mut self.buffer).into());
        request.send().await.map_err(|error| BucketError::new("write", &self.key, &error))?;
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), BucketError> {
        let Bucket { client, name, owner } = self.bucket.clone();
        let (id, sent) = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let request = client.create_multipart_upload().bucket(&name).key(&self.key);
                let request = request
                    .expected_bucket_owner(&owner)
                    .content_type(self.content_type)
                    .checksum_algorithm(ChecksumAlgorithm::Sha256);
                let begun = request.send().await.map_err(|error| BucketError::new("write", &self.key, &error))?;
                let nameless = || BucketError {
                    action: "write",
                    key: self.key.clone(),
                    code: None,
                    message: "the store gave no upload id".to_owned(),
                };
                self.parts.insert((begun.upload_id.ok_or_else(nameless)?, Vec::new()))
            }
        };
        let number = i32::try_from(sent.len() + 1).unwrap_or(i32::MAX);
        let request = client.upload_part().bucket(&name).key(&self.key).expected_bucket_owner(&owner);
        let request = request
            .upload_id(&*id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(mem::take(&mut self.buffer).into());
        let part = request.send().await.map_err(|error| BucketError::new("write", &self.key, &error))?;
        let completed = CompletedPart::builder().part_number(number);
        sent.push(completed.set_e_tag(part.e_tag).set_checksum_sha256(part.checksum_sha256).build());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A store that answers every request alike, and keeps the heads of the requests.
    async fn store() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = heads.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    loop {
                        let mut more = vec![0; 1 << 16];
                        let Ok(count @ 1..) = stream.read(&mut more).await else { return };
                        bytes.extend_from_slice(&more[..count]);
                        let text = String::from_utf8_lossy(&bytes).to_lowercase();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                        let length: usize = length.map_or(0, |length| length.parse().unwrap());
                        if body.len() < length {
                            continue;
                        }
                        kept.lock().unwrap().push(head.to_owned());
                        bytes.clear();
                        let xml =
                            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
                        let answer =
                            format!("HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n{xml}", xml.len());
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        (url, heads)
    }

    #[tokio::test]
    async fn each_request_names_the_owner_of_the_bucket() {
        let (url, heads) = store().await;
        let credentials = SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test"));
        let sdk = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .credentials_provider(credentials)
            .build();
        let destination = Destination {
            bucket: "acme-costs".parse().unwrap(),
            prefix: "usage/".parse().unwrap(),
            account: "123456789012".parse().unwrap(),
            region: None,
        };
        let bucket = Buckets::new(&sdk).of(&destination);
        let _ = bucket.read("x").await;
        let mut small = bucket.upload("small", "text/csv");
        small.write(b"a").await.unwrap();
        small.finish().await.unwrap();
        let mut large = bucket.upload("large", "text/csv");
        large.write(&vec![b'a'; PART_SIZE + 1]).await.unwrap();
        let _ = large.finish().await;
        let mut aborted = bucket.upload("aborted", "text/csv");
        aborted.write(&vec![b'a'; PART_SIZE + 1]).await.unwrap();
        aborted.abort().await;
        let heads = heads.lock().unwrap().clone();
        for wanted in [
            "get /acme-costs/x",
            "put /acme-costs/small",
            "post /acme-costs/large?uploads",
            "put /acme-costs/large?",
            "post /acme-costs/large?uploadid",
            "delete /acme-costs/aborted?",
        ] {
            assert!(heads.iter().any(|head| head.starts_with(wanted)), "{wanted} was not sent: {heads:#?}");
        }
        for head in heads {
            assert!(head.contains("x-amz-expected-bucket-owner: 123456789012"), "{head}");
        }
    }
}
