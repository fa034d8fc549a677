//! The AWS SDK's configuration, as Lambda gives it: by the environment, and by nothing else.
//!
//! The SDK's own loader also looks for profiles, roles and metadata services, which no function has. Leaving it out makes
//! each binary smaller by a tenth.

use std::env;

use aws_config::{BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::config::{self, ConfigError};

/// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, which Lambda sets, and for
/// emulators `AWS_ENDPOINT_URL`, or for one service `AWS_ENDPOINT_URL_<SERVICE>`.
///
/// # Errors
/// When there is no region. Missing credentials show at the first request.
pub fn sdk_config() -> Result<SdkConfig, ConfigError> {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config::required("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .service_config(Variables);
    config.set_endpoint_url(config::optional("AWS_ENDPOINT_URL"));
    Ok(config.build())
}

/// The variables of single services.
#[derive(Debug)]
struct Variables;

impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        env::var(format!("{}_{service}", key.env())).ok().filter(|value| !value.is_empty())
    }
}
