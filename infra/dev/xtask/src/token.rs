//! `cargo xtask token`: a bearer token for the stack of `up`.

use std::{net::TcpStream, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::{
    checkout::Checkout,
    cli::Token,
    issuer::{Claims, Key},
    progress, published,
};

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
    progress::answer(&Key::of(&checkout)?.token(&claims)?);
    Ok(ExitCode::SUCCESS)
}

/// The address of the running issuer, as `up` published it.
fn issuer(checkout: &Checkout) -> Result<String> {
    let path = checkout.stack_env();
    let name = checkout.short(&path);
    let url = published::variables(checkout)?.remove("ISSUER").with_context(|| format!("{name} has no ISSUER"))?;
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("{name} has a bad ISSUER, {url}"))?;
    if TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_err() {
        bail!("the stack that wrote {name} is gone; start one with `cargo xtask up`");
    }
    Ok(url)
}
