//! Which process plays a container: images cannot be pulled here, so known ones are built in.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::{Deserialize, Serialize};

/// Programs that only wait: a process for them would show nothing.
const WAITING: &[&str] = &["sleep", "tail", "pause"];
const SHELLS: &[&str] = &["sh", "bash", "ash", "dash"];
/// Images that people open a shell in.
const IDLE_IMAGES: &[&str] = &[
    "sleep", "busybox", "alpine", "curl", "netshoot", "ubuntu", "debian", "pause", "dnsutils",
    "toolbox", "fedora", "centos",
];

/// Images whose programs are busybox's applets.
const BUSYBOX_IMAGES: &[&str] = &["busybox", "alpine"];

/// The ports of a pod that services lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub tcp: BTreeSet<u16>,
    pub udp: BTreeSet<u16>,
    pub sctp: BTreeSet<u16>,
}

/// How a container is played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Nothing runs; commands can be run in the pod.
    Idle,
    /// `weir lab workload KIND` listens on these ports.
    BuiltIn {
        kind: String,
        tcp: Vec<u16>,
        udp: Vec<u16>,
        sctp: Vec<u16>,
    },
    /// The container's own command, with the machine's program.
    Command(Vec<String>),
}

// === impl Asked ===

impl Asked {
    fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty() && self.sctp.is_empty()
    }
}

/// The containers of a pod that run beside each other: its sidecars, which are init containers that
/// stay, and then its own. Other init containers are not played: they would have ended by now.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let stays = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(stays);
    sidecars.chain(&spec.containers)
}

/// The role of each of these containers. Where none of them says a port, the last one that nothing
/// is known of listens on what services ask of the pod.
pub fn roles(spec: &PodSpec, asked: &Asked) -> Vec<Role> {
    let containers: Vec<&Container> = containers(spec).collect();
    let mut roles: Vec<Role> = containers.iter().map(|container| role(container)).collect();
    let silent = containers
        .iter()
        .all(|each| each.ports.iter().flatten().next().is_none());
    if silent && !asked.is_empty() {
        let unknown = |at: &usize| is_unknown(containers[*at]) && roles[*at] == Role::Idle;
        if let Some(at) = (0..containers.len()).rev().find(unknown) {
            roles[at] = Role::BuiltIn {
                kind: "echo".into(),
                tcp: asked.tcp.iter().copied().collect(),
                udp: asked.udp.iter().copied().collect(),
                sctp: asked.sctp.iter().copied().collect(),
            };
        }
    }
    roles
}

/// Whether a container's tools are busybox's.
pub fn is_busybox(container: &Container) -> bool {
    let image = base_name(container.image.as_deref().unwrap_or_default());
    BUSYBOX_IMAGES.contains(&image.as_str())
}

/// An image that is neither a server nor a shell to us, with no command that only waits.
fn is_unknown(container: &Container) -> bool {
    let image = base_name(container.image.as_deref().unwrap_or_default());
    let program = container.command.as_ref().and_then(|c| c.first());
    let waits = program
        .is_some_and(|program| WAITING.contains(&program.rsplit('/').next().unwrap_or_default()));
    !waits && server(&image).is_none() && !IDLE_IMAGES.contains(&image.as_str())
}

/// One word for a pod in listings.
pub fn summary(roles: &[Role]) -> String {
    let words: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Idle => "idle",
            Role::BuiltIn { kind, .. } => kind.as_str(),
            Role::Command(words) => words.first().map_or("command", String::as_str),
        })
        .collect();
    words.join("+")
}

fn role(container: &Container) -> Role {
    let image = base_name(container.image.as_deref().unwrap_or_default());
    let known = server(&image);
    let command: Vec<String> = [&container.command, &container.args]
        .into_iter()
        .flatten()
        .flatten()
        .cloned()
        .collect();
    // Arguments alone belong to the image's own entry point, which is not here.
    if let Some(program) = container.command.as_ref().and_then(|c| c.first()) {
        let name = program.rsplit('/').next().unwrap_or_default();
        if WAITING.contains(&name) {
            return Role::Idle;
        }
        // A shell in a server's image starts the server, which only the built-in can play.
        let starts_server = known.is_some() && SHELLS.contains(&name);
        if !starts_server && is_installed(program) {
            return Role::Command(command);
        }
    }
    let (mut tcp, udp) = (ports(container, "TCP"), ports(container, "UDP"));
    let sctp = ports(container, "SCTP");
    if let Some(("agnhost", _)) = known
        && let Some(port) = argument(&command, "--http-port")
    {
        tcp.push(port);
    }
    match known {
        Some((kind, default)) => {
            if tcp.is_empty() {
                tcp.push(default);
            }
            Role::BuiltIn {
                kind: kind.to_owned(),
                tcp,
                udp,
                sctp,
            }
        }
        None if tcp.is_empty() && udp.is_empty() && sctp.is_empty() => Role::Idle,
        None => Role::BuiltIn {
            kind: "echo".into(),
            tcp,
            udp,
            sctp,
        },
    }
}

/// The built-in that plays a server's image, and the port it listens on by default.
fn server(image: &str) -> Option<(&'static str, u16)> {
    if IDLE_IMAGES.contains(&image) {
        return None;
    }
    [
        ("httpbin", "httpbin", 80),
        ("coredns", "dns", 53),
        ("ingress", "ingress", 80),
        ("nginx", "nginx", 80),
        ("mysql", "mysql", 3306),
        ("mariadb", "mysql", 3306),
        ("flask", "flask", 5000),
        ("agnhost", "agnhost", 8080),
        ("echo", "echo", 8080),
    ]
    .into_iter()
    .find(|(part, _, _)| image.contains(part))
    .map(|(_, kind, port)| (kind, port))
}

/// `docker.io/kennethreitz/httpbin:latest@sha256:...` is `httpbin`.
fn base_name(image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default().to_lowercase()
}

fn ports(container: &Container, protocol: &str) -> Vec<u16> {
    container
        .ports
        .iter()
        .flatten()
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == protocol)
        .filter_map(|port| u16::try_from(port.container_port).ok())
        .collect()
}

/// The value of `--name=VALUE` or `--name VALUE`.
fn argument(words: &[String], name: &str) -> Option<u16> {
    let at = words.iter().position(|word| word.starts_with(name))?;
    let value = match words[at].split_once('=') {
        Some((_, value)) => value,
        None => words.get(at + 1)?,
    };
    value.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "looks where a shell would")]
fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(yaml: &str) -> Role {
        role(&serde_yaml_ng::from_str(yaml).unwrap())
    }

    fn built_in(kind: &'static str, tcp: &[u16], udp: &[u16]) -> Role {
        Role::BuiltIn {
            kind: kind.to_owned(),
            tcp: tcp.to_vec(),
            udp: udp.to_vec(),
            sctp: Vec::new(),
        }
    }

    #[test]
    fn known_images() {
        let httpbin = "{name: c, image: 'docker.io/kennethreitz/httpbin:latest'}";
        assert_eq!(role_of(httpbin), built_in("httpbin", &[80], &[]));
        let flask = "{name: c, image: pnivaggi/flaskback, ports: [{containerPort: 5000}]}";
        assert_eq!(role_of(flask), built_in("flask", &[5000], &[]));
        assert_eq!(role_of("{name: c, image: curlimages/curl}"), Role::Idle);
        let agnhost =
            "{name: c, image: k8s.gcr.io/agnhost:2.39, args: [netexec, --http-port=8081]}";
        assert_eq!(role_of(agnhost), built_in("agnhost", &[8081], &[]));
    }

    #[test]
    fn unknown_images_listen_on_their_ports() {
        let echo = "{name: c, image: me/app, ports: [{containerPort: 1}, {containerPort: 2, protocol: UDP}]}";
        assert_eq!(role_of(echo), built_in("echo", &[1], &[2]));
    }

    #[test]
    fn sidecars_and_what_services_ask_for() {
        let spec = |yaml: &str| serde_yaml_ng::from_str::<PodSpec>(yaml).unwrap();
        let asked = Asked {
            tcp: [8080].into(),
            ..Asked::default()
        };
        let with_sidecar = spec(
            "{initContainers: [{name: setup, image: busybox}, {name: side, image: nginx, restartPolicy: Always}],
              containers: [{name: app, image: me/app}]}",
        );
        assert_eq!(
            roles(&with_sidecar, &asked),
            [
                built_in("nginx", &[80], &[]),
                built_in("echo", &[8080], &[])
            ]
        );
        let silent = spec("{containers: [{name: app, image: me/app}]}");
        assert_eq!(roles(&silent, &Asked::default()), [Role::Idle]);
        // A shell's ports are for what is typed in it, and who says its ports means those.
        let shell = spec("{containers: [{name: app, image: busybox}]}");
        assert_eq!(roles(&shell, &asked), [Role::Idle]);
        let own = spec("{containers: [{name: app, image: me/app, ports: [{containerPort: 1}]}]}");
        assert_eq!(roles(&own, &asked), [built_in("echo", &[1], &[])]);
        assert!(is_busybox(&shell.containers[0]) && !is_busybox(&silent.containers[0]));
    }

    #[test]
    fn commands_of_the_machine() {
        let sleep = "{name: c, image: curlimages/curl, command: [/bin/sleep, infinity]}";
        assert_eq!(role_of(sleep), Role::Idle);
        let shell = "{name: c, image: busybox, command: [sh, -c], args: ['exec true']}";
        assert_eq!(
            role_of(shell),
            Role::Command(["sh", "-c", "exec true"].map(Into::into).into())
        );
        let gunicorn = "{name: c, image: kong/httpbin, command: [sh, -c, gunicorn]}";
        assert_eq!(role_of(gunicorn), built_in("httpbin", &[80], &[]));
    }
}
