//! `cargo xtask token`: a bearer token for the stack of `up`.

use std::{net::TcpStream, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use uuid::Uuid;

use crate::{
    checkout::Checkout,
    stack::issuer::{Claims, Key},
    stack_env,
};

/// The subject and the permissions of a token.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Organization that the token is for; may be repeated. CI telemetry belongs to none
    #[arg(long = "org", value_name = "UUID", required_unless_present = "scope")]
    pub(crate) organizations: Vec<Uuid>,
    /// Subject; a fixed UUID unless given
    #[arg(long, value_name = "SUBJECT", default_value = "6f1d0e1c-6a52-4f6e-9f0b-3f4f6f2a7c10")]
    pub(crate) sub: String,
    /// Permissions, separated by spaces
    #[arg(long, value_name = "PERMISSIONS", default_value = "admin")]
    pub(crate) scope: String,
}

/// Prints the token and nothing else on stdout.
pub(crate) fn run(token: &Token) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let issuer = issuer(&checkout)?;
    let claims = Claims {
        issuer: &issuer,
        subject: &token.sub,
        organizations: token.organizations.iter().map(Uuid::to_string).collect(),
        scope: &token.scope,
    };
    terminal::answer(&Key::of(&checkout)?.token(&claims)?);
    Ok(ExitCode::SUCCESS)
}

/// The address of the running issuer, as `up` published it.
fn issuer(checkout: &Checkout) -> Result<String> {
    let path = checkout.stack_env();
    let name = checkout.short(&path);
    let url = stack_env::variables(checkout)?.remove("ISSUER").with_context(|| format!("{name} has no ISSUER"))?;
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("{name} has a bad ISSUER, {url}"))?;
    if TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_err() {
        bail!("the stack that wrote {name} is gone; start one with `cargo xtask up`");
    }
    Ok(url)
}
