//! HTTP on loopback ports, for local stacks, tests and measurements: a relay in front of a service, and Lambda's
//! Runtime API in front of a function's program.

mod connection;
mod relay;
mod request;
mod runtime_api;

pub use connection::Connection;
pub use relay::{Arrival, answer, answer_json, answer_with, forward, serve};
pub use request::Request;
pub use runtime_api::{Call, Invocation, NextEvent, RuntimeApi};
