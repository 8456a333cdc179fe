//! The server: `slm-serve run --config serve.toml`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slm_serve::{Registry, ServeConfig, new_key, serve};
use tracing_subscriber::EnvFilter;

/// Serves small language models by OpenAI's protocol.
#[derive(Debug, Parser)]
#[command(name = "slm-serve")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve until SIGTERM; SIGHUP loads the models anew.
    Run {
        /// Configuration file (TOML).
        #[arg(long, conflicts_with = "model", required_unless_present = "model")]
        config: Option<PathBuf>,
        /// A model directory or GGUF file, with default settings in place of a configuration file.
        #[arg(long)]
        model: Option<PathBuf>,
        /// Address and port, in place of the configuration's.
        #[arg(long)]
        listen: Option<std::net::SocketAddr>,
    },
    /// Load everything that a configuration names, and tell what it is.
    Check {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Make an API key and print it with its digest for the configuration.
    Key,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
            while let Some(error) = cause {
                message = format!("{message}: {error}");
                cause = error.source();
            }
            eprintln!("slm-serve: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> slm_serve::Result<()> {
    match task {
        Task::Run { config, model, listen } => {
            let mut read = match (&config, model) {
                (Some(path), _) => ServeConfig::load(path)?,
                (None, Some(model)) => ServeConfig::of_model(&model),
                (None, None) => ServeConfig::default(),
            };
            if let Some(listen) = listen {
                read.listen = listen;
            }
            read.check()?;
            serve(&read, config.as_deref())
        }
        Task::Check { config } => {
            let registry = Registry::load(&ServeConfig::load(&config)?)?;
            for entry in &registry.models {
                println!("{}\t{}\t{}", entry.name, entry.kind, entry.model_hash.as_deref().unwrap_or("-"));
            }
            Ok(())
        }
        Task::Key => {
            let (key, digest) = new_key();
            println!("key    {key}\nsha256 {digest}");
            Ok(())
        }
    }
}
