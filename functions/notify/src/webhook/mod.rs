//! Requests to organizations' webhooks, signed by the scheme of [Standard Webhooks](https://www.standardwebhooks.com).

mod address;
mod send;
mod signature;

pub(crate) use self::{
    address::Hosts,
    send::{SendError, Webhook, send},
};
