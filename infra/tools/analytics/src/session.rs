//! The settings of a command: from its options, and from the environment where an option is missing.

use anyhow::Result;
use domain::OrgId;

use crate::{
    api::Api,
    cli::Connection,
    outcome::Outcome,
    token::{TokenSource, Tokens},
    transport::Transport,
};

/// A connection to the service for one organization, and the form of answers.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) api: Api,
    pub(crate) organization: OrgId,
    pub(crate) json: bool,
}

impl Session {
    /// Reads the settings. `variable` returns a variable of the environment; an empty one counts as missing.
    pub(crate) fn new(connection: Connection, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::open(connection, false, variable)
    }

    /// Reads the settings of a connection for what belongs to the platform, which needs no organization.
    pub(crate) fn of_platform(connection: Connection, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::open(connection, true, variable)
    }

    fn open(connection: Connection, is_of_platform: bool, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let missing = |what: &str, option: &str, name: &str| {
            Outcome::WrongUsage(format!("{what} is missing: give {option}, or set {name}"))
        };
        let url = connection.url.or_else(|| variable("ANALYTICS_URL"));
        let url = url.ok_or_else(|| missing("the address of the service", "--url", "ANALYTICS_URL"))?;
        let transport = Transport::of(&url).map_err(|error| Outcome::WrongUsage(error.to_string()))?;
        if url.contains(['?', '#']) {
            return Err(Outcome::WrongUsage("the address of the service must have no query".to_owned()).into());
        }
        let organization = match (connection.organization, variable("ANALYTICS_ORGANIZATION")) {
            _ if is_of_platform => OrgId::PLATFORM,
            (Some(organization), _) => organization,
            (None, Some(text)) => {
                text.parse::<OrgId>().map_err(|error| Outcome::WrongUsage(format!("ANALYTICS_ORGANIZATION {error}")))?
            }
            (None, None) => {
                return Err(missing("the organization", "--organization", "ANALYTICS_ORGANIZATION").into());
            }
        };
        let source = TokenSource::choose(connection.token_file, connection.token_command, variable)?;
        let source = source.ok_or_else(|| {
            missing("the token", "--token-file or --token-command", "ANALYTICS_TOKEN, _FILE or _COMMAND")
        })?;
        let api = Api::new(transport, &url, Some(organization).filter(|_| !is_of_platform), Tokens::new(source));
        Ok(Self { api, organization, json: connection.json })
    }

    /// Writes the answer: the service's JSON or, for people, text.
    pub(crate) fn answer(&self, json: &str, text: impl FnOnce() -> String) {
        // Text and JSON end in one line feed, which `answer` adds.
        let text = if self.json { json.to_owned() } else { text() };
        terminal::answer(text.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORGANIZATION: &str = "123e4567-e89b-12d3-a456-426614174000";

    fn refused(variables: &[(&str, &str)]) -> String {
        let none = Connection { url: None, organization: None, token_file: None, token_command: None, json: false };
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let error = Session::new(none, variable).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Outcome::WrongUsage(_))), "{error:?}");
        error.to_string()
    }

    #[test]
    fn what_is_missing_is_named_with_its_option_and_its_variable() {
        let url = ("ANALYTICS_URL", "https://example.com");
        let organization = ("ANALYTICS_ORGANIZATION", ORGANIZATION);
        assert!(refused(&[]).contains("--url"));
        assert!(refused(&[url]).contains("--organization"));
        assert!(refused(&[url, ("ANALYTICS_ORGANIZATION", "")]).contains("--organization"));
        assert!(refused(&[url, organization]).contains("--token-command"));
        let none = Connection { url: None, organization: None, token_file: None, token_command: None, json: false };
        let error = Session::of_platform(none, |name| (name == url.0).then(|| url.1.to_owned())).unwrap_err();
        assert!(error.to_string().contains("--token-command"), "the platform needs no organization: {error}");
    }

    #[test]
    fn wrong_values_of_variables_are_wrong_usage() {
        let url = ("ANALYTICS_URL", "https://example.com");
        assert!(
            refused(&[url, ("ANALYTICS_ORGANIZATION", "acme")]).starts_with("ANALYTICS_ORGANIZATION is not a UUID")
        );
        assert!(refused(&[("ANALYTICS_URL", "http://example.com")]).starts_with("plain http to example.com"));
        assert!(refused(&[("ANALYTICS_URL", "https://example.com?x")]).contains("no query"));
    }
}
