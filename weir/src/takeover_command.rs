//! `weir takeover`: connections that the kernel judges, handed to the proxy.

use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_link::Instance;
use weir_policy::model::Direction;
use weir_redirector::{MapSize, Pins, network::netns};

/// Hand connections that the kernel judges to the proxy, where it must deny or is in doubt
///
/// Enters the network namespace NAME-ingress and gives up every privilege but CAP_NET_ADMIN. It
/// reads nothing of what goes over a connection. Without it (or with `weir agent --l7-kernel off`)
/// the proxy has every connection with HTTP rules from its SYN.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  Serve the instance `weir`:
    weir takeover

  Serve another instance, and wait until its agent is there:
    weir takeover --instance lab --wait")]
pub struct TakeoverCommand {
    /// Instance, as given to `weir agent`
    #[arg(long = "instance", alias = "name", value_name = "NAME", default_value = "weir", value_parser = Instance::new)]
    name: Instance,

    /// Sizes of maps, as given to `weir agent`
    #[arg(long, value_name = "NAME=ENTRIES", value_delimiter = ',')]
    map_size: Vec<MapSize>,

    /// Wait until the agent has made the private networks and its programs, in place of failing
    #[arg(long)]
    wait: bool,
}

impl TakeoverCommand {
    pub fn run(self) -> Result<()> {
        let name = self.name.name().to_owned();
        let netns_path = self.name.netns_path(Direction::Ingress);
        let pins = Pins::new(self.name.clone(), self.map_size.into_iter().collect());
        let there = || {
            matches!(netns::is_netns(&netns_path), Ok(true))
                && pins.set_state().try_exists().unwrap_or(false)
        };
        while self.wait && !there() {
            std::thread::sleep(Duration::from_millis(50));
        }
        weir_takeover::run(&self.name, &pins)
            .with_context(|| format!("takeover of instance {name}"))
    }
}
