//! `posgate completions` and `posgate man`: what shells and readers of manuals want, from the commands
//! themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// Writes a shell's completions to standard output.
///
/// For bash: `posgate completions bash > /etc/bash_completion.d/posgate`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Writes a manual page for each command into a folder.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder, made when it is not there; `man -l FOLDER/posgate.1` shows a page
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Runs `posgate completions`.
///
/// # Errors
/// When standard output cannot be written.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "posgate", &mut text);
    super::output::bytes(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `posgate man`.
///
/// # Errors
/// When the folder cannot be written.
pub fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let cannot = || format!("{} cannot be written", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut command = Cli::command();
    command.build();
    pages(&command, folder).with_context(cannot)?;
    Ok(ExitCode::SUCCESS)
}

/// A page for a command, and for each below it.
fn pages(command: &clap::Command, folder: &Path) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or("posgate").to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
        .try_for_each(|below| pages(below, folder))
}
