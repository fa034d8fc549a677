//! Reading the environment. Each function documents its variables at its own `Context::from_env`.

use std::{env, str::FromStr, time::Duration};

/// An environment variable that keeps a function from starting. Holds the name, never the value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// The variable is set to something that cannot be used.
    #[error("environment variable {name} is not {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

/// A variable that has to be set.
///
/// # Errors
/// When it is unset or empty.
pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// A variable that may be left out. Empty counts as left out: a template cannot unset a variable, only leave it empty.
pub fn optional(name: &'static str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that has to be set to a value of type `T`; `expected` says in words what that is.
///
/// # Errors
/// When it is unset, empty, or no such value.
pub fn parsed<T: FromStr>(name: &'static str, expected: &'static str) -> Result<T, ConfigError> {
    required(name)?.parse().map_err(|_| ConfigError::Invalid { name, expected })
}

/// A variable that has to be set to a whole number of seconds.
///
/// # Errors
/// When it is unset, empty, or no such number.
pub fn seconds(name: &'static str) -> Result<Duration, ConfigError> {
    parsed(name, "a whole number of seconds").map(Duration::from_secs)
}
