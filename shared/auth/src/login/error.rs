//! The reasons why nobody is signed in.

use aws_lc_rs::error::Unspecified;
use platform::secret::SecretError;

use crate::{key_source::BoxError, verifier::AuthError};

/// The reason why a person is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The provider does not answer, or its answer cannot be used. The same may work later.
    #[error("the provider could not be asked")]
    Unavailable(#[source] BoxError),
    /// The answer or the code is not one of this attempt.
    #[error("the sign-in was refused: {0}")]
    Refused(&'static str),
    /// The provider refused the code, the client or its secret.
    #[error("the provider refused the code: {0}")]
    RefusedByProvider(String),
    /// A token of the provider is not as it has to be. The settings of the provider and of the service disagree.
    #[error("the provider's token cannot be used")]
    Token(#[source] AuthError),
    /// The secret of the client could not be read.
    #[error("the secret of the client could not be read")]
    Secret(#[from] SecretError),
    /// The system gives no random numbers.
    #[error("no random numbers")]
    Random(#[from] Unspecified),
}

impl LoginError {
    pub(super) fn no_answer() -> Self {
        Self::Unavailable("it did not answer in time".into())
    }
}

impl From<AuthError> for LoginError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(keys) => Self::Unavailable(Box::new(keys)),
            error => Self::Token(error),
        }
    }
}
