//! The checks of the templates.

use anyhow::Result;

use super::session::Session;
use crate::{command::Spec, stack::emulator::REGION};

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let region = |spec: Spec| spec.env("AWS_DEFAULT_REGION", REGION);
    let sam = session.python_tool("sam")?.args(["validate", "--lint", "--template-file", "template.yaml"]);
    session.program("sam validate", region(sam))?;
    let lint = session.python_tool("cfn-lint")?.args(["template.yaml", "infra/operations.yaml"]);
    session.program("cfn-lint", region(lint))
}
