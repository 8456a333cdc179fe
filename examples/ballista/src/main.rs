//! A scheduler, executors, and a client that runs a pipeline on them; the README shows how.

use std::error::Error;
use std::sync::Arc;

use ballista::prelude::SessionContextExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::start_server;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use slm_data::PipelineConfig;
use slm_data::distributed;

type Outcome = Result<(), Box<dyn Error>>;

const USAGE: &str = "usage: slm-ballista scheduler PORT
       slm-ballista executor SCHEDULER_HOST:PORT PORT FOLDER
       slm-ballista run PIPELINE.toml [http://SCHEDULER_HOST:PORT]";

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["scheduler", port] => scheduler(port.parse()?).await,
        ["executor", scheduler, port, folder] => executor(scheduler, port.parse()?, folder).await,
        ["run", pipeline] => run(pipeline, SessionContext::new()).await,
        ["run", pipeline, address] => {
            let context = SessionContext::remote_with_state(address, state(SessionConfig::new())?).await?;
            run(pipeline, context).await
        }
        _ => Err(USAGE.into()),
    }
}

/// A session that knows the functions of slm-data.
fn state(config: SessionConfig) -> datafusion::error::Result<SessionState> {
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    for function in distributed::functions() {
        datafusion::execution::FunctionRegistry::register_udf(&mut state, function)?;
    }
    Ok(state)
}

async fn scheduler(port: u16) -> Outcome {
    let config = SchedulerConfig {
        bind_port: port,
        task_distribution: TaskDistributionPolicy::RoundRobin,
        override_session_builder: Some(Arc::new(state)),
        ..SchedulerConfig::default()
    };
    let address = format!("{}:{port}", config.bind_host).parse()?;
    let cluster = BallistaCluster::new_from_config(&config).await?;
    Ok(start_server(cluster, address, Arc::new(config)).await?)
}

async fn executor(scheduler: &str, port: u16, folder: &str) -> Outcome {
    let (host, scheduler_port) = scheduler.rsplit_once(':').ok_or(USAGE)?;
    let known = BallistaFunctionRegistry::from(&state(SessionConfig::new())?);
    let config = ExecutorProcessConfig {
        port,
        grpc_port: port + 1,
        scheduler_host: host.to_owned(),
        scheduler_port: scheduler_port.parse()?,
        scheduler_connect_timeout_seconds: 30,
        vcores: 2,
        work_dir: Some(folder.to_owned()),
        override_function_registry: Some(Arc::new(known)),
        ..ExecutorProcessConfig::default()
    };
    Ok(start_executor_process(Arc::new(config)).await?)
}

async fn run(pipeline: &str, context: SessionContext) -> Outcome {
    let report = distributed::run(&context, PipelineConfig::load(pipeline)?).await?;
    println!("{} lines, {} rows, {} bad", report.read.lines, report.read.rows, report.read.bad);
    for step in &report.steps {
        println!("{:<24} {:>9} in {:>9} kept  {:?}", step.name, step.input, step.kept, step.dropped);
    }
    for (path, rows) in &report.written {
        println!("{}: {rows} rows", path.display());
    }
    Ok(())
}
