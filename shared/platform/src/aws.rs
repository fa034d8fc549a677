//! The configuration of the AWS SDK, read from the environment alone.
//!
//! The SDK's own loader also supports profiles, roles and metadata services, which Lambda functions don't have. Without
//! it each binary is smaller by a tenth.

use std::env;

pub use aws_config::SdkConfig;
use aws_config::{BehaviorVersion, Region, environment::EnvironmentVariableCredentialsProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::config::{self, ConfigError};

/// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, which Lambda sets. Other
/// endpoints than those of AWS are set by `AWS_ENDPOINT_URL` and, for one service, `AWS_ENDPOINT_URL_<SERVICE>`.
///
/// # Errors
/// When the region is not set. Missing credentials are an error of the first request.
pub fn sdk_config() -> Result<SdkConfig, ConfigError> {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config::required("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .service_config(Variables);
    config.set_endpoint_url(config::optional("AWS_ENDPOINT_URL"));
    Ok(config.build())
}

/// The variables of single services, which the SDK asks for by service id, such as `DynamoDB`.
#[derive(Debug)]
struct Variables;

impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        env::var(format!("{}_{service}", key.env())).ok().filter(|value| !value.is_empty())
    }
}
