//! The function's environment.

use std::time::Duration;

use jobs::JobsTable;
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
};

use crate::{mail::Mail, queue::EventQueue, webhook::Hosts};

/// The function's clients and settings, created once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) jobs: JobsTable,
    pub(crate) queue: EventQueue,
    /// The topic of mails; `None` if there is none.
    pub(crate) mail: Option<Mail>,
    /// The addresses of hosts.
    pub(crate) hosts: Hosts,
    /// The delay before the second attempt; later ones wait longer.
    pub(crate) retry_delay: Duration,
    /// The number of receives after which a message goes to the dead-letter queue.
    pub(crate) max_receives: u32,
}

impl Context {
    /// Creates the clients. Reads the variables of [`JobsTable::from_env`] and these:
    ///
    /// - `EVENTS_QUEUE_URL`: the queue of events;
    /// - `MAIL_TOPIC`, optional: the ARN of the topic of mails;
    /// - `PUBLIC_URL`: the address of the service before `/analytics/v1`, for mails;
    /// - `WEBHOOK_HOSTS`, optional, for a local stack alone: addresses of hosts instead of those that DNS has, such as
    ///   `hooks.example.com=127.0.0.1:8080`. Loopback addresses among them are reached without TLS;
    /// - `WEBHOOK_RETRY_SECONDS`: the delay before the second attempt at a delivery;
    /// - `EVENT_MAX_RECEIVES`: the `maxReceiveCount` of the queue's redrive policy.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            jobs: JobsTable::from_env(sdk)?,
            queue: EventQueue::from_env(sdk)?,
            mail: Mail::from_env(sdk)?,
            hosts: Hosts::from_env()?,
            retry_delay: config::seconds("WEBHOOK_RETRY_SECONDS")?,
            max_receives: config::parsed("EVENT_MAX_RECEIVES", "a number")?,
        })
    }
}
