//! The AWS of a stack: the emulator or, for all that LocalStack has, LocalStack beside it.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use super::{
    emulator::Emulator,
    issuer,
    local_stack::{self, LocalStack, Triggers},
    watch::Watch,
};
use crate::{checkout::Checkout, run_folder::RunFolder};

/// The services that a stack uses of LocalStack.
const SERVICES: &str = "cloudformation,cloudwatch,events,iam,kms,logs,s3,sqs,sts";

/// The running services.
#[derive(Debug)]
pub(crate) struct Aws {
    triggers: Option<Triggers>,
    local_stack: Option<LocalStack>,
    emulator: Emulator,
}

impl Aws {
    /// Starts the services; they are not ready yet.
    pub(crate) fn start(checkout: &Checkout, run: &RunFolder, with_local_stack: bool) -> Result<Self> {
        let local_stack = with_local_stack.then(|| LocalStack::start(checkout, run, SERVICES)).transpose()?;
        // One pair of keys for both.
        let secret = if with_local_stack { local_stack::SECRET.to_owned() } else { issuer::secret()? };
        Ok(Self { triggers: None, local_stack, emulator: Emulator::start(checkout, run, secret)? })
    }

    /// Waits until they answer.
    pub(crate) fn ready(self, checkout: &Checkout, run: &RunFolder) -> Result<Self> {
        let mut aws = Self { emulator: self.emulator.ready(checkout, run)?, ..self };
        aws.local_stack.as_mut().map_or(Ok(()), LocalStack::wait)?;
        Ok(aws)
    }

    /// Migrates the database, and lets messages and schedules reach the watched functions, where the services themselves
    /// do neither.
    pub(crate) fn connect(
        &mut self,
        checkout: &Checkout,
        run: &RunFolder,
        sources: &Value,
        watch: &mut Watch,
    ) -> Result<()> {
        watch.wait()?;
        let invoke = watch.url();
        local_stack::migrate(&invoke)?;
        self.triggers = Some(Triggers::start(checkout, run, self.environment(), sources, &invoke)?);
        Ok(())
    }

    /// An error if one of them has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.emulator.check()?;
        self.local_stack.as_mut().map_or(Ok(()), LocalStack::check)?;
        self.triggers.as_mut().map_or(Ok(()), Triggers::check)
    }

    /// The address of most services.
    pub(crate) fn url(&self) -> String {
        self.local_stack.as_ref().map_or_else(|| self.emulator.url(), LocalStack::url)
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    pub(crate) fn is_local_stack(&self) -> bool {
        self.local_stack.is_some()
    }

    /// The program that deploys the template to it.
    pub(crate) fn deployer(&self, checkout: &Checkout) -> PathBuf {
        if self.is_local_stack() {
            local_stack::folder(checkout).join("deploy.py")
        } else {
            checkout.infra("deploy.py")
        }
    }

    /// The variables of AWS tools and SDKs, for the administrator.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut variables = self.emulator.environment();
        if let Some(local_stack) = &self.local_stack {
            variables.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
            variables.push(("AWS_ENDPOINT_URL".to_owned(), local_stack.url()));
            variables.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), self.emulator.url()));
        }
        variables
    }
}
