//! Flows to services: judged by the backend, translated there and back.

use weir_policy::model::Protocol;

use crate::small::*;
use crate::{
    bench::{Bench, Result, Way},
    packet::{ACK, Craft, SYN, checksum, pseudo_checksum},
};

#[test]
fn services_are_judged_by_their_backend_and_translated_back() {
    let mut bench = Bench::new();
    let to_backend = rule(backend_only(), Some(80), None);
    bench.install(&world(None, Some(vec![to_backend])), 0);
    for family in EVERY_FAMILY {
        let (pod, service, backend) = (ip(POD[family]), ip(SERVICE[family]), ip(BACKEND[family]));
        let dial = Craft::new(pod, service, Protocol::Tcp).ports(8001, 8000);
        let (result, out) = bench.run_on(Way::FromPod, &dial.build(), 9);
        assert_eq!(result, Result::Pass);
        let expected = Craft::new(pod, backend, Protocol::Tcp)
            .ports(8001, 80)
            .build();
        assert_eq!(out, expected, "addresses, ports and both checksums");
        let data = dial.clone().detail(ACK);
        let (result, out) = bench.run_on(Way::FromPod, &data.build(), 9);
        assert_eq!(result, Result::Pass);
        assert_eq!(
            out,
            Craft::new(pod, backend, Protocol::Tcp)
                .ports(8001, 80)
                .detail(ACK)
                .build()
        );
        let reply = Craft::new(backend, pod, Protocol::Tcp)
            .ports(80, 8001)
            .detail(SYN | ACK);
        let (result, out) = bench.run_on(Way::ToPod, &reply.build(), 9);
        assert_eq!(result, Result::Pass);
        let expected = Craft::new(service, pod, Protocol::Tcp)
            .ports(8000, 8001)
            .detail(SYN | ACK);
        assert_eq!(out, expected.build(), "the reply comes from the service");
        // UDP is translated too, and denied: the rule is for TCP.
        let udp = Craft::new(pod, service, Protocol::Udp).ports(8001, 8000);
        assert_eq!(bench.run(Way::FromPod, &udp.build()), Result::Drop);
    }
}

/// A client port that is used directly and by a service, one after the other, is one flow in the
/// table: the answer comes from the address that was asked last.
#[test]
fn answers_come_from_the_address_that_was_asked_last() {
    let mut bench = Bench::new();
    bench.install(
        &world(None, Some(vec![rule(backend_only(), None, None)])),
        0,
    );
    for family in EVERY_FAMILY {
        let (pod, service, backend) = (ip(POD[family]), ip(SERVICE[family]), ip(BACKEND[family]));
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let craft = |from, to| Craft::new(from, to, protocol);
            let dial = craft(pod, backend).ports(8011, 80).build();
            assert_eq!(bench.run(Way::FromPod, &dial), Result::Pass);
            for (asked, port) in [(service, 8000), (backend, 80), (service, 8000)] {
                let data = craft(pod, asked).ports(8011, port).build();
                let (result, out) = bench.run_on(Way::FromPod, &data, 9);
                let expected = craft(pod, backend).ports(8011, 80).build();
                assert_eq!((result, out), (Result::Pass, expected));
                let reply = craft(backend, pod).ports(80, 8011).detail(ACK).build();
                let (result, out) = bench.run_on(Way::ToPod, &reply, 9);
                let expected = craft(asked, pod).ports(port, 8011).detail(ACK).build();
                assert_eq!(
                    (result, out),
                    (Result::Pass, expected),
                    "{protocol:?} {asked}"
                );
            }
        }
    }
}

#[test]
fn translated_datagrams_keep_right_checksums() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        for port in [1, 53, 8001, 65535] {
            let dial =
                Craft::new(ip(POD[family]), ip(SERVICE[family]), Protocol::Udp).ports(port, 8000);
            let (_, out) = bench.run_on(Way::FromPod, &dial.build(), 9);
            let transport = if family == 0 { 34 } else { 54 };
            let (pod, backend) = (ip(POD[family]), ip(BACKEND[family]));
            assert_eq!(
                pseudo_checksum(pod, backend, 17, &out[transport..]),
                0,
                "port {port}"
            );
            if family == 0 {
                assert_eq!(checksum(&out[14..34], 0), 0, "the IP header");
            }
        }
    }
}

#[test]
fn a_client_keeps_its_backend_where_the_service_wants_affinity() {
    for family in EVERY_FAMILY {
        let mut bench = Bench::new();
        let mut world = world(None, None);
        let backend = |number: u8| {
            let address = ["192.0.2.", "2001:db8::"][family].to_owned() + &number.to_string();
            (ip(&address), 80)
        };
        world.services[0].client_affinity = true;
        let mut port = 2000;
        let mut dial = |bench: &mut Bench| {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..20 {
                port += 1;
                let dial = Craft::new(ip(POD[family]), ip(SERVICE[family]), Protocol::Tcp);
                let (_, out) = bench.run_on(Way::FromPod, &dial.ports(port, 8000).build(), 9);
                let destination = if family == 0 {
                    &out[30..34]
                } else {
                    &out[38..54]
                };
                seen.insert(*destination.last().unwrap());
            }
            assert_eq!(seen.len(), 1, "one backend: {seen:?}");
            seen.pop_first().unwrap()
        };
        world.services[0].ports[0].backends = (1..6).map(backend).collect();
        bench.install(&world, 0);
        let chosen = dial(&mut bench);
        // Others come and go.
        world.services[0].ports[0].backends = (1..9)
            .filter(|number| *number == chosen || number % 2 == 0)
            .map(backend)
            .collect();
        bench.install(&world, 0);
        assert_eq!(dial(&mut bench), chosen);
        // Its own goes.
        world.services[0].ports[0].backends = (1..9)
            .filter(|number| *number != chosen)
            .map(backend)
            .collect();
        bench.install(&world, 0);
        let next = dial(&mut bench);
        assert_ne!(next, chosen);
        assert_eq!(dial(&mut bench), next);
    }
}

/// An error about a packet to a service quotes what left the node; the pod knows the service only.
#[test]
fn icmp_errors_of_translated_flows_quote_the_service() {
    let mut bench = Bench::new();
    bench.install(&world(None, None), 0);
    for family in EVERY_FAMILY {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let (pod, service, backend) =
                (ip(POD[family]), ip(SERVICE[family]), ip(BACKEND[family]));
            let dial = Craft::new(pod, service, protocol).ports(8010, 8000).build();
            let (_, sent) = bench.run_on(Way::FromPod, &dial, 9);
            let mut error = Craft::new(backend, pod, Protocol::Icmp)
                .ports(0, 0)
                .detail(if family == 0 { 3 } else { 1 });
            error.payload = sent[14..].to_vec();
            let mut error = error.build();
            let (transport, network) = if family == 0 { (34, 20) } else { (54, 40) };
            let sum = |error: &[u8]| match family {
                0 => checksum(&error[transport..], 0),
                _ => pseudo_checksum(backend, pod, 58, &error[transport..]),
            };
            let right = sum(&error).to_be_bytes();
            error[transport + 2..transport + 4].copy_from_slice(&right);
            let (result, out) = bench.run_on(Way::ToPod, &error, 9);
            assert_eq!(result, Result::Pass);
            assert_eq!(sum(&out), 0, "{protocol}: checksum of the error");
            let quote = &out[transport + 8..];
            let header = quote.len() - (dial.len() - 14);
            assert_eq!(header, 0, "{protocol}: nothing else changes");
            // Addresses and ports as the pod sent them, and a right IP header.
            assert_eq!(quote[..network], dial[14..14 + network], "{protocol}");
            assert_eq!(
                quote[network..network + 4],
                dial[14 + network..18 + network]
            );
        }
    }
}
