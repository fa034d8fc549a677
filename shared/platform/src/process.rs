//! What a process says of itself in each line of its log.

use std::{env, sync::OnceLock};

/// The name, the version and the stack of a process.
#[derive(Debug)]
pub(crate) struct Process {
    /// The function's short name, such as `worker`.
    pub(crate) service: &'static str,
    /// The commit that a release was built from.
    pub(crate) version: &'static str,
    /// The name of the CloudFormation stack: variable `STACK`.
    pub(crate) stack: String,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// The version of this build: the commit of a release, `dev` of a debug build.
pub const VERSION: &str = env!("ANALYTICS_VERSION");

/// Names the process, once.
pub(crate) fn name(service: &'static str) {
    PROCESS.get_or_init(|| Process { service, version: VERSION, stack: stack() });
}

/// Returns the process, nothing in a program that is no function.
pub(crate) fn process() -> Option<&'static Process> {
    PROCESS.get()
}

fn stack() -> String {
    env::var("STACK").ok().filter(|stack| !stack.is_empty()).unwrap_or_else(|| "local".to_owned())
}
