//! A program to start: its arguments, its environment, and the destination of its output.

use std::{
    ffi::OsString,
    fs::File,
    io::IsTerminal as _,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process::{Child, check, describe, tail};

/// The destination of a child's output.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    /// To our own stdout and stderr.
    Inherit,
    /// Both to the end of a file.
    File(&'a Path),
    /// stdout to a pipe that the caller reads, stderr to ours.
    Pipe,
    /// Both to one pipe each, of which the caller reads stdout and the file has stderr.
    PipeAndFile(&'a Path),
}

/// A command line that has not been started.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    clean: bool,
    folder: Option<PathBuf>,
    user: Option<u32>,
    reads: bool,
    stop: Signal,
}

impl Spec {
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            clean: false,
            folder: None,
            user: None,
            reads: false,
            stop: Signal::TERM,
        }
    }

    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    pub(crate) fn envs<N: Into<OsString>, V: Into<OsString>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |spec, (name, value)| spec.env(name, value))
    }

    pub(crate) fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Starts with an empty environment, except for PATH.
    pub(crate) fn clean(mut self) -> Self {
        self.clean = true;
        self
    }

    pub(crate) fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs as this user and as the group of the same number.
    pub(crate) fn user(mut self, user: Option<u32>) -> Self {
        self.user = user;
        self
    }

    /// Reads what is piped to us. Not from a terminal, which is not the program's own: reading would suspend it.
    pub(crate) fn reads_stdin(mut self) -> Self {
        self.reads = !std::io::stdin().is_terminal();
        self
    }

    /// The signal that asks this program to stop.
    pub(crate) fn stop(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    fn command(&self) -> Command {
        // The copy is addressed by what we run from, even when a build has replaced the file meanwhile.
        #[cfg(target_os = "linux")]
        let mut command = {
            let mut command = Command::new("/proc/self/exe");
            command.arg(crate::process::BECOME).arg(std::process::id().to_string()).arg(&self.program);
            command
        };
        #[cfg(not(target_os = "linux"))]
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).process_group(0);
        if !self.reads {
            command.stdin(Stdio::null());
        }
        if self.clean {
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> String {
        let file = Path::new(&self.program).file_name().unwrap_or(&self.program);
        file.to_string_lossy().into_owned()
    }

    /// Starts the program. Call it on the main thread only: the kernel ties a child's life to the thread.
    pub(crate) fn spawn(self, output: &Output<'_>) -> Result<Child> {
        check()?;
        let mut command = self.command();
        match output {
            Output::Inherit => {}
            Output::File(path) => {
                let file = append(path)?;
                command.stderr(file.try_clone()?).stdout(file);
            }
            Output::Pipe => {
                command.stdout(Stdio::piped());
            }
            Output::PipeAndFile(path) => {
                command.stdout(Stdio::piped()).stderr(append(path)?);
            }
        }
        Child::start(self.name(), command, self.stop)
    }

    /// Runs the program to its end; an error unless it succeeds.
    pub(crate) fn run(self, output: &Output<'_>) -> Result<()> {
        let mut child = self.spawn(output)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("{} failed: {}", child.name(), describe(status));
        }
        Ok(())
    }

    /// Runs the program to its end and returns its stdout; an error unless it succeeds.
    pub(crate) fn read(self, errors: &Path) -> Result<String> {
        let mut child = self.spawn(&Output::PipeAndFile(errors))?;
        let text = match child.take_stdout() {
            Some(pipe) => std::io::read_to_string(pipe).context("can't read a program's output")?,
            None => String::new(),
        };
        let status = child.wait()?;
        if !status.success() {
            bail!("{} failed: {}\n{}", child.name(), describe(status), tail(errors, 20));
        }
        Ok(text)
    }
}

fn append(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    options.open(path).with_context(|| format!("can't write {}", path.display()))
}
