//! Which process plays a container: images cannot be pulled here, so known ones are built in.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use std::env;
use std::path::Path;

/// Programs that only wait: a process for them would show nothing.
const WAITING: &[&str] = &["sleep", "tail", "pause"];
const SHELLS: &[&str] = &["sh", "bash", "ash", "dash"];
/// Images that people open a shell in.
const IDLE_IMAGES: &[&str] = &[
    "sleep", "busybox", "alpine", "curl", "netshoot", "ubuntu", "debian", "pause", "dnsutils",
    "toolbox", "fedora", "centos",
];

/// How a container is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Nothing runs; commands can be run in the pod.
    Idle,
    /// `weir lab workload KIND` listens on these ports.
    BuiltIn {
        kind: &'static str,
        tcp: Vec<u16>,
        udp: Vec<u16>,
        sctp: Vec<u16>,
    },
    /// The container's own command, with the machine's program.
    Command(Vec<String>),
}

/// The roles of a pod's containers.
pub fn roles(spec: &PodSpec) -> Vec<Role> {
    spec.containers.iter().map(role).collect()
}

/// One word for a pod in listings.
pub fn summary(roles: &[Role]) -> String {
    let words: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Idle => "idle",
            Role::BuiltIn { kind, .. } => kind,
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
                kind,
                tcp,
                udp,
                sctp,
            }
        }
        None if tcp.is_empty() && udp.is_empty() && sctp.is_empty() => Role::Idle,
        None => Role::BuiltIn {
            kind: "echo",
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
            kind,
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
