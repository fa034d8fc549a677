//! PostgreSQL: connections and their life between invocations, errors, timeouts, and the names of the rollup tables.

mod address;
mod coalesce;
mod connection;
mod database;
mod error;
mod guard;
mod limit;
mod login;
pub mod schema;
pub mod tables;
mod time;

pub use address::Address;
pub use connection::{Connection, Connector};
pub use database::{Database, Lease};
pub use error::{DatabaseError, ServerError};
pub use limit::{LimitedReads, LimitedWrites, milliseconds, set_statement_timeout};
pub use time::to_system_time;
