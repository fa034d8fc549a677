//! The checks of `template.yaml`.

use anyhow::Result;

use super::session::Session;
use crate::{command::Spec, stack::emulator::REGION};

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let region = |spec: Spec| spec.env("AWS_DEFAULT_REGION", REGION);
    let sam = session.python_tool("sam")?.args(["validate", "--lint", "--template-file", "template.yaml"]);
    session.program("sam validate", region(sam))?;
    let lint = session.python_tool("cfn-lint")?.arg("template.yaml");
    session.program("cfn-lint", region(lint))?;
    let size = session.python_tool("python")?.arg(session.checkout().infra("size.py")).arg("template.yaml");
    session.program("template size", size)
}
