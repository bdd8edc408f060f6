use std::{
    cell::RefCell, collections::BTreeMap, fs, io, net::IpAddr, os::fd::OwnedFd, rc::Rc,
    time::SystemTime,
};

use weir_cluster::{FolderSource, index::Options};
use weir_link::proxy::{Learned, ListenerInfo};
use weir_policy::{
    l7::RequestFlow,
    model::{Direction, HostPolicies, PodName, Protocol, Service},
};
use weir_redirector::{Placement, PodInterface, RedirectorError, Unmanaged};

use super::*;

const OBJECTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {weir.dev/interface: veth1}
spec: {nodeName: n}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names}
spec:
  endpointSelector: {}
  egress:
    - toCIDR: [192.0.2.53/32]
      toPorts: [{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: a.test}]}}]
    - toFQDNs: [{matchName: a.test}]
";

/// What happened, in its order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

/// A kernel at which every interface is there, and in which one step may fail.
struct FakeKernel {
    log: Log,
    fails: Option<&'static str>,
    unattached: Vec<Unmanaged>,
}

impl FakeKernel {
    fn step(&self, name: &'static str) -> Result<(), RedirectorError> {
        match self.fails == Some(name) {
            true => Err(RedirectorError::Indices),
            false => Ok(()),
        }
    }
}

impl Kernel for FakeKernel {
    fn release_gone(&mut self) -> Result<usize, RedirectorError> {
        self.step("release").map(|()| 0)
    }

    fn unjudged_devices(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn is_there(&self, _: u32) -> io::Result<bool> {
        Ok(true)
    }

    fn is_there_by_name(&self, _: &str) -> io::Result<bool> {
        Ok(true)
    }

    fn place(
        &mut self,
        pods: &[PodInterface],
    ) -> Result<(Places, Vec<Unmanaged>), RedirectorError> {
        self.step("place")?;
        let place = |(pod, number): (&PodInterface, u16)| {
            let at = Placement {
                index: number,
                interface: number.into(),
            };
            (pod.pod.clone(), at, pod.interface.clone())
        };
        Ok((pods.iter().zip(1..).map(place).collect(), Vec::new()))
    }

    fn apply(
        &mut self,
        snapshot: &Snapshot,
        _: &[Service],
        places: &Places,
    ) -> Result<Vec<Unmanaged>, RedirectorError> {
        self.step("kernel")?;
        let (revision, pods) = (snapshot.revision, places.len());
        self.log.add(format!("kernel {revision}, {pods} pods"));
        Ok(self.unattached.clone())
    }

    fn listen(&mut self, _: &ListenerInfo, _: &OwnedFd) -> Result<(), RedirectorError> {
        Ok(())
    }

    fn set_proxy_ready(&mut self, _: bool) -> Result<(), RedirectorError> {
        Ok(())
    }
}

/// Proxies that acknowledge, or are too late.
struct FakeProxies {
    log: Log,
    in_time: bool,
    fails: bool,
}

impl Proxies<FakeKernel> for FakeProxies {
    fn send(&mut self, table: &L7Table) -> Result<(), LinkError> {
        if self.fails {
            return Err(LinkError::TooLarge { length: 1 });
        }
        self.log.add(format!("proxies {}", table.revision()));
        Ok(())
    }

    async fn acknowledged(&mut self, revision: u64, _: &mut FakeKernel) -> bool {
        self.log.add(format!("acknowledged {revision}"));
        self.in_time
    }
}

impl Followers for Log {
    fn follow(&self, _: &Arc<World>, snapshot: &Arc<Snapshot>, _: &Places) {
        self.add(format!("followers {}", snapshot.revision));
    }
}

/// All that a change needs, without root.
struct Node {
    folder: tempfile::TempDir,
    log: Log,
    enforcement: Enforcement,
    kernel: FakeKernel,
    proxies: FakeProxies,
    pods: Pods,
    names: Learnt,
    addresses: Addresses,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::default();
        let node = Self {
            enforcement: Enforcement::new("n", Compiler::after(0, 0), HostPolicies::Enforce),
            kernel: FakeKernel {
                log: log.clone(),
                fails: None,
                unattached: Vec::new(),
            },
            proxies: FakeProxies {
                log: log.clone(),
                in_time: true,
                fails: false,
            },
            pods: Pods::load(folder.path(), false).unwrap(),
            names: Learnt::load(&folder.path().join("names.json"), SystemTime::now()),
            addresses: Addresses::fixed(),
            folder,
            log,
        };
        node.write(OBJECTS);
        node
    }

    fn write(&self, objects: &str) {
        fs::create_dir_all(self.folder.path().join("objects")).unwrap();
        fs::write(self.folder.path().join("objects/all.yaml"), objects).unwrap();
    }

    async fn put(&mut self) -> Changed {
        let folder = self.folder.path().join("objects");
        let mut reading = FolderSource::new([folder], Options::default()).read();
        assert_eq!(reading.problems, []);
        let mut sources = Sources {
            pods: &mut self.pods,
            names: &mut self.names,
            addresses: &self.addresses,
            followers: &self.log,
        };
        let (kernel, proxies) = (&mut self.kernel, &mut self.proxies);
        self.enforcement
            .put(&mut reading, &mut sources, kernel, proxies)
            .await
    }

    /// The pod is told an address of `a.test`, by the server that its rule allows.
    fn learn(&mut self, address: &str) -> bool {
        let learned = Learned {
            ticket: 1,
            flow: RequestFlow {
                endpoint: 1,
                direction: Direction::Egress,
                peer: "192.0.2.53".parse().unwrap(),
                protocol: Protocol::Udp,
                port: 53,
            },
            name: "a.test".to_owned(),
            addresses: vec![(address.parse::<IpAddr>().unwrap(), 300)],
        };
        let (table, state) = (&self.enforcement.table, &self.enforcement.state);
        counts::take_in(&mut self.names, &learned, table, state)
    }
}

fn steps(revision: u64) -> Vec<String> {
    [
        format!("proxies {revision}"),
        format!("acknowledged {revision}"),
        format!("followers {revision}"),
        format!("kernel {revision}, 1 pods"),
    ]
    .into()
}

#[tokio::test]
async fn proxies_come_before_who_shows_verdicts_and_the_kernel_comes_last() {
    let mut node = Node::new();
    assert_eq!(node.put().await, Changed::InForce);
    assert_eq!(node.log.take(), steps(1));
    assert_eq!(node.put().await, Changed::Unchanged);
    assert_eq!(node.log.take(), [""; 0]);
    node.write(&OBJECTS.replace("matchName: a.test", "matchName: b.test"));
    assert_eq!(node.put().await, Changed::InForce);
    assert_eq!(node.log.take(), steps(2));
}

#[tokio::test]
async fn a_step_that_fails_leaves_in_force_what_was_and_is_tried_again() {
    for (fails, done) in [("release", 0), ("place", 0), ("send", 0), ("kernel", 3)] {
        let mut node = Node::new();
        assert_eq!(node.put().await, Changed::InForce);
        node.log.take();
        let before = node.enforcement.state.snapshot.revision;
        node.write(&OBJECTS.replace("matchName: a.test", "matchName: b.test"));
        node.kernel.fails = Some(fails);
        node.proxies.fails = fails == "send";
        assert_eq!(node.put().await, Changed::Failed, "{fails}");
        assert_eq!(node.log.take().len(), done, "{fails}");
        let state = &node.enforcement.state;
        assert!(state.failure.is_some(), "{fails}");
        assert_eq!(state.snapshot.revision, before, "{fails}");
        // The same objects: what is not in force is not taken for unchanged.
        (node.kernel.fails, node.proxies.fails) = (None, false);
        assert_eq!(node.put().await, Changed::InForce, "{fails}");
        assert_eq!(node.enforcement.state.failure, None);
        assert_eq!(node.log.take().len(), 4, "{fails}");
    }
}

#[tokio::test]
async fn a_proxy_that_lags_holds_nothing_up_for_ever() {
    let mut node = Node::new();
    node.proxies.in_time = false;
    assert_eq!(node.put().await, Changed::InForce);
    assert_eq!(node.log.take(), steps(1));
}

#[tokio::test]
async fn an_interface_that_took_no_program_is_tried_again() {
    let mut node = Node::new();
    let pod = Unmanaged {
        pod: PodName::new("default", "web"),
        reason: "busy".into(),
        unknown: false,
    };
    node.kernel.unattached.push(pod.clone());
    assert_eq!(node.put().await, Changed::InForce);
    assert_eq!(node.enforcement.state.unmanaged, [pod]);
    node.log.take();
    node.kernel.unattached.clear();
    assert_eq!(node.put().await, Changed::InForce);
    assert_eq!(node.log.take().len(), 4);
    assert_eq!(node.enforcement.state.unmanaged, []);
}

#[tokio::test]
async fn an_answer_settles_with_the_policy_that_asked_for_it() {
    let mut node = Node::new();
    node.put().await;
    assert!(node.learn("198.51.100.7"));
    assert_eq!(node.put().await, Changed::InForce);
    assert_eq!(node.enforcement.state.world.names.len(), 1);
    node.log.take();
    // The rule about the server goes: the answer no longer counts, in the same change.
    let asks = "rules: {dns: [{matchName: a.test}]}";
    node.write(&OBJECTS.replace(asks, "rules: {dns: [{matchName: b.test}]}"));
    assert_eq!(node.put().await, Changed::InForce);
    let mut rounds = steps(3);
    rounds.extend(steps(4));
    assert_eq!(node.log.take(), rounds);
    assert!(node.enforcement.state.world.names.is_empty());
    assert!(!node.learn("198.51.100.7"), "nobody may ask for it");
}
