//! The bearer token: from the environment, a file or a command. It is never printed.

use std::{
    cell::RefCell,
    fmt, io,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

/// A token. Its debug text does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// The place a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenSource {
    Variable(Token),
    File(PathBuf),
    Command(String),
}

/// The token in use.
#[derive(Debug)]
pub(crate) struct Tokens {
    source: TokenSource,
    current: RefCell<Option<Token>>,
}

/// The reason why there is no token. None of them shows what was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("can't read the token from {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("can't run the token command")]
    Start(#[source] io::Error),
    #[error("the token command failed: {0}")]
    Command(ExitStatus),
    #[error("{0} holds no token: one line of printable characters without spaces is expected")]
    Form(&'static str),
}

impl Token {
    /// Reads a token, without the white space around it. `None` if the text could not be sent as one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// Returns the value of the header `Authorization`.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl TokenSource {
    /// Chooses the source: an option goes before a variable. `None` if there is neither.
    pub(crate) fn choose(
        file: Option<PathBuf>,
        command: Option<String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TokenError> {
        if let Some(source) = file.map(Self::File).or(command.map(Self::Command)) {
            return Ok(Some(source));
        }
        if let Some(text) = variable("ANALYTICS_TOKEN") {
            let token = Token::parse(&text).ok_or(TokenError::Form("ANALYTICS_TOKEN"))?;
            return Ok(Some(Self::Variable(token)));
        }
        let file = variable("ANALYTICS_TOKEN_FILE").map(|path| Self::File(path.into()));
        Ok(file.or_else(|| variable("ANALYTICS_TOKEN_COMMAND").map(Self::Command)))
    }

    fn read(&self) -> Result<Token, TokenError> {
        match self {
            Self::Variable(token) => Ok(token.clone()),
            Self::File(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| TokenError::File { path: path.clone(), source })?;
                Token::parse(&text).ok_or(TokenError::Form("the token file"))
            }
            Self::Command(command) => {
                // Standard input may be the file to verify.
                let output = Command::new("sh")
                    .args(["-c", command])
                    .stdin(Stdio::null())
                    .stderr(Stdio::inherit())
                    .output()
                    .map_err(TokenError::Start)?;
                if !output.status.success() {
                    return Err(TokenError::Command(output.status));
                }
                let text = String::from_utf8_lossy(&output.stdout);
                Token::parse(&text).ok_or(TokenError::Form("the output of the token command"))
            }
        }
    }
}

impl Tokens {
    pub(crate) const fn new(source: TokenSource) -> Self {
        Self { source, current: RefCell::new(None) }
    }

    /// Returns the token; reads it at the first call.
    pub(crate) fn current(&self) -> Result<Token, TokenError> {
        if let Some(token) = &*self.current.borrow() {
            return Ok(token.clone());
        }
        self.read()
    }

    /// Returns a fresh token in place of one that was refused; `None` if there is none but that.
    pub(crate) fn renew(&self) -> Result<Option<Token>, TokenError> {
        match self.source {
            TokenSource::Command(_) => self.read().map(Some),
            TokenSource::Variable(_) | TokenSource::File(_) => Ok(None),
        }
    }

    fn read(&self) -> Result<Token, TokenError> {
        let token = self.source.read()?;
        self.current.replace(Some(token.clone()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(file: Option<&str>, command: Option<&str>, variables: &[(&str, &str)]) -> Option<TokenSource> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        TokenSource::choose(file.map(PathBuf::from), command.map(str::to_owned), variable).unwrap()
    }

    #[test]
    fn an_option_goes_before_the_environment() {
        let all = [("ANALYTICS_TOKEN", "t"), ("ANALYTICS_TOKEN_FILE", "f"), ("ANALYTICS_TOKEN_COMMAND", "c")];
        assert_eq!(choose(Some("x"), None, &all), Some(TokenSource::File("x".into())));
        assert_eq!(choose(None, Some("y"), &all), Some(TokenSource::Command("y".to_owned())));
        assert_eq!(choose(None, None, &all), Some(TokenSource::Variable(Token("t".to_owned()))));
        assert_eq!(choose(None, None, &all[1..]), Some(TokenSource::File("f".into())));
        assert_eq!(choose(None, None, &all[2..]), Some(TokenSource::Command("c".to_owned())));
        assert_eq!(choose(None, None, &[]), None);
    }

    #[test]
    fn a_token_is_one_word_and_is_not_shown() {
        let token = Token::parse(" secret.a-b_c\n").unwrap();
        assert_eq!(token.header(), "Bearer secret.a-b_c");
        assert!(!format!("{token:?} {:?}", TokenSource::Variable(token.clone())).contains("secret"));
        for text in ["", " \n", "a b", "a\nb", "é", "a\u{7f}"] {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_command_is_asked_again_only_for_a_fresh_token() {
        let count = std::env::temp_dir().join(format!("{}.count", uuid::Uuid::new_v4()));
        let command = format!("echo x >> '{0}'; wc -l < '{0}'", count.display());
        let tokens = Tokens::new(TokenSource::Command(command));
        assert_eq!(tokens.current().unwrap(), Token("1".to_owned()));
        assert_eq!(tokens.current().unwrap(), Token("1".to_owned()));
        assert_eq!(tokens.renew().unwrap(), Some(Token("2".to_owned())));
        assert_eq!(tokens.current().unwrap(), Token("2".to_owned()));
        std::fs::remove_file(count).unwrap();
        let variable = Tokens::new(TokenSource::Variable(Token("t".to_owned())));
        assert_eq!(variable.renew().unwrap(), None);
    }

    #[test]
    fn a_failure_says_where_the_token_should_be_and_not_what_was_there() {
        let read = |source: TokenSource| source.read().unwrap_err().to_string();
        assert_eq!(
            read(TokenSource::Command("echo secret; exit 3".to_owned())),
            "the token command failed: exit status: 3"
        );
        let two = read(TokenSource::Command("echo secret secret".to_owned()));
        assert!(two.starts_with("the output of the token command holds no token") && !two.contains("secret"), "{two}");
        assert_eq!(read(TokenSource::File("/no/such/file".into())), "can't read the token from /no/such/file");
    }
}
