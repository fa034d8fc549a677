//! The settings in which object stores differ.

use std::str::FromStr;

use aws_sdk_s3::types::ServerSideEncryption;

use platform::config::{self, ConfigError};

/// The encryption that an upload asks for. Without any, the bucket's own default applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encryption {
    /// No header: a store that knows none refuses it.
    BucketDefault,
    /// Keys of the store.
    Aes256,
    /// A key of AWS KMS, by its id or ARN; the account's own key for S3 unless given.
    Kms(Option<String>),
}

/// The place of the bucket's name in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    Virtual,
}

impl Encryption {
    /// Reads `EXPORTS_ENCRYPTION`: `none`, the default, `AES256`, or `aws:kms` with the key in `EXPORTS_KMS_KEY_ID`.
    ///
    /// # Errors
    /// When it is anything else.
    pub(super) fn from_env() -> Result<Self, ConfigError> {
        match config::optional("EXPORTS_ENCRYPTION").as_deref() {
            None | Some("none") => Ok(Self::BucketDefault),
            Some("AES256") => Ok(Self::Aes256),
            Some("aws:kms") => Ok(Self::Kms(config::optional("EXPORTS_KMS_KEY_ID"))),
            Some(_) => {
                Err(ConfigError::Invalid { name: "EXPORTS_ENCRYPTION", expected: "one of none, AES256, aws:kms" })
            }
        }
    }

    /// Returns the two headers of an upload.
    pub(super) fn headers(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match self {
            Self::BucketDefault => (None, None),
            Self::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Self::Kms(key) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        }
    }
}

impl FromStr for Addressing {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "path" => Ok(Self::Path),
            "virtual" => Ok(Self::Virtual),
            _ => Err("must be path or virtual"),
        }
    }
}

impl Addressing {
    /// Returns the address of a bucket at an endpoint such as `https://us-east-1.linodeobjects.com`.
    pub(super) fn address(self, endpoint: &str, bucket: &str) -> String {
        let endpoint = endpoint.trim_end_matches('/');
        match (self, endpoint.split_once("://")) {
            (Self::Virtual, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
            _ => format!("{endpoint}/{bucket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_bucket_in_its_place() {
        let endpoint = "https://us-east-1.linodeobjects.com/";
        assert_eq!(Addressing::Path.address(endpoint, "b"), "https://us-east-1.linodeobjects.com/b");
        assert_eq!(Addressing::Virtual.address(endpoint, "b"), "https://b.us-east-1.linodeobjects.com");
        assert_eq!("virtual".parse(), Ok(Addressing::Virtual));
        assert!("both".parse::<Addressing>().is_err());
    }

    #[test]
    fn the_default_sends_no_header() {
        assert_eq!(Encryption::BucketDefault.headers(), (None, None));
        let kms = Encryption::Kms(Some("alias/exports".to_owned()));
        assert_eq!(kms.headers(), (Some(ServerSideEncryption::AwsKms), Some("alias/exports".to_owned())));
    }
}
