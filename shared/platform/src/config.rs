//! Configuration by environment variables. Each function documents its variables at its own `Context::from_env`.

use std::{env, str::FromStr, time::Duration};

/// A missing or unusable environment variable. Contains the variable's name, never its value, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or is empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// The variable has a value that cannot be used.
    #[error("environment variable {name} is not {expected}")]
    Invalid {
        /// The name of the variable.
        name: &'static str,
        /// The kind of value that is expected, in words.
        expected: &'static str,
    },
    /// The variable has a value of several parts, some of which cannot be used.
    #[error("environment variable {name} has mistakes: {}", .mistakes.join("; "))]
    Mistakes {
        /// The name of the variable.
        name: &'static str,
        /// Each mistake with its place, in words.
        mistakes: Vec<String>,
    },
}

/// Returns the value of a required variable.
///
/// # Errors
/// When it is not set, or is empty.
pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// Returns the value of an optional variable. An empty value counts as none.
pub fn optional(name: &'static str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the value of a required variable, parsed; `expected` describes a valid one in words.
///
/// # Errors
/// When it is not set, is empty, or cannot be parsed.
pub fn parsed<T: FromStr>(name: &'static str, expected: &'static str) -> Result<T, ConfigError> {
    required(name)?.parse().map_err(|_| ConfigError::Invalid { name, expected })
}

/// Returns the value of a required variable in whole seconds.
///
/// # Errors
/// When it is not set, is empty, or is not a whole number.
pub fn seconds(name: &'static str) -> Result<Duration, ConfigError> {
    parsed(name, "a whole number of seconds").map(Duration::from_secs)
}

/// Returns the value of a required variable in whole minutes.
///
/// # Errors
/// When it is not set, is empty, or is not a whole number.
pub fn minutes(name: &'static str) -> Result<Duration, ConfigError> {
    // Of 32 bits, so that the seconds of no value overflow.
    parsed(name, "a whole number of minutes").map(|minutes: u32| Duration::from_secs(u64::from(minutes) * 60))
}
