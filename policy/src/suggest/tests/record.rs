//! Under the proposals the record itself passes, whoever its ends are, and lint finds nothing.

use super::*;

#[test]
fn nodes_and_the_api_server_are_entities_and_never_prefixes() {
    let world = world();
    let flows: Vec<Recorded> = [
        ("shop/web-0", "172.18.0.3", Protocol::Tcp, 10250, None),
        ("shop/web-0", "172.18.0.4", Protocol::Tcp, 6443, None),
        ("172.18.0.2", "shop/web-0", Protocol::Tcp, 80, None),
    ]
    .iter()
    .map(|flow| recorded(&world, flow))
    .collect();
    for world in [world, World::default()] {
        let found = suggest(&flows, &world, &Options::default());
        let [web] = found.proposals.as_slice() else {
            panic!("one proposal: {found:?}");
        };
        assert_eq!(web.policy["kind"], "CiliumNetworkPolicy");
        let port = |port: &str| json!([{"ports": [{"port": port, "protocol": "TCP"}]}]);
        let nodes = json!(["host", "remote-node"]);
        assert_eq!(
            web.policy["spec"]["ingress"],
            json!([{"fromEntities": nodes, "toPorts": port("80")}])
        );
        assert_eq!(
            web.policy["spec"]["egress"],
            json!([
                {"toEntities": ["kube-apiserver"], "toPorts": port("6443")},
                {"toEntities": nodes, "toPorts": port("10250")},
            ])
        );
    }
}

#[test]
fn a_host_network_pod_is_its_node() {
    let mut sample =
        Sample::default()
            .pod("shop/web-0", "app=web", &[80])
            .pod("shop/agent-0", "app=agent", &[]);
    let agent = sample.world.pods.last_mut().expect("a pod");
    agent.host_network = true;
    agent.addresses = vec!["172.18.0.9".parse().expect("an address")];
    let world = sample.world;
    let flow = ("shop/agent-0", "shop/web-0", Protocol::Tcp, 80, None);
    let list = [recorded(&world, &flow)];
    let found = suggest(&list, &world, &Options::default());
    let [web] = found.proposals.as_slice() else {
        panic!("one proposal: {found:?}");
    };
    let nodes = &web.policy["spec"]["ingress"][0]["fromEntities"];
    assert_eq!(nodes, &json!(["host", "remote-node"]));
    let mut new = world.clone();
    new.policies = vec![policy(&web.policy)];
    let changed = diff::recorded(&world, &new, &list);
    assert_eq!((changed.judged, changed.changes), (1, Vec::new()));
}

#[test]
fn what_lint_would_say_is_told_and_not_said_again() {
    let world = world();
    let flow = ("front/old-0", "shop/web-0", Protocol::Tcp, 81, None);
    let found = suggest(&[recorded(&world, &flow)], &world, &Options::default());
    let [old, web] = found.proposals.as_slice() else {
        panic!("two proposals: {found:?}");
    };
    assert!(
        old.notes
            .iter()
            .any(|note| note.ends_with("names do not resolve (W009)")),
        "{old:?}"
    );
    let ids =
        |one: &Proposal| one.policy["metadata"]["annotations"][lint::IGNORE_ANNOTATION].clone();
    assert_eq!(ids(web), "W008,W011");
    assert_eq!(ids(old), "W008,W009,W011");
}

/// Two nodes, two API servers, and two addresses outside.
const NO_PODS: [&str; 6] = [
    "172.18.0.2",
    "172.18.0.3",
    "172.18.0.4",
    "192.0.2.8",
    "192.0.2.7",
    "198.51.100.7",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_of_the_record_says_that_nothing_changes_and_lint_finds_nothing(
        flows in vec(flow_of([PODS.as_slice(), &NO_PODS].concat()), 1..12),
        with_manifests in any::<bool>(),
    ) {
        let old = world();
        let list: Vec<Recorded> = flows.iter().map(|flow| recorded(&old, flow)).collect();
        let known = if with_manifests { old.clone() } else { World::default() };
        let found = suggest(&list, &known, &Options::default());
        prop_assert_eq!(&found.left_out, &[] as &[String]);
        let mut new = old.clone();
        let values: Vec<&Value> = found.proposals.iter().map(|proposal| &proposal.policy).collect();
        new.policies = values.iter().map(|value| policy(value)).collect();
        let changed = diff::recorded(&old, &new, &list);
        prop_assert_eq!((changed.judged, changed.not_judged), (list.len(), 0));
        prop_assert_eq!(changed.changes, [], "{:?}", found);
        for value in &values {
            let text = value.to_string();
            prop_assert!(!text.contains("172.18.0.") && !text.contains("192.0.2.8"), "{}", text);
        }
        let proposed = World { policies: new.policies, ..known };
        for world in [proposed, World::default()] {
            let input = lint::Input { world, policies: values.clone(), ..Default::default() };
            prop_assert_eq!(lint::lint(&input), [], "{:?}", found);
        }
    }
}
